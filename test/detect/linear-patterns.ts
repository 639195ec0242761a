import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileFunction } from 'node:vm'
import ts from 'typescript'
import * as builders from '../../src/std/regex.ts'

/**
 * Every regular expression that a request's text can meet in scoring and redaction, found by reading the source: all
 * files of src/detect and what redaction consists of, and whatever they import. Literals count wherever they stand,
 * also inside functions; what std/regex.ts joins and what `new RegExp` makes counts as the whole it comes to. An
 * expression that is made in a way which cannot be told from the source is a fault, so that none can hide.
 */
export interface Pattern {
  /** `src/detect/payload/decode.ts:12`. */
  at: string
  file: string
  pattern: RegExp
  /** `once`: one search from the start. `all`: a search from match to match. `split`: as `String.split` does it. */
  scan: 'once' | 'all' | 'split'
  /** Characters that the code gives it at most, where the call itself says so (`text.slice(0, 80)`). */
  charactersMax: number
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const REDACTION = ['mask', 'mask-json', 'redact', 'secret-names'].map((name) => join(ROOT, `src/receipts/${name}.ts`))
const BUILDERS = join(ROOT, 'src/std/regex.ts')
const BUILDER_NAMES = Object.keys(builders)

/** Its patterns are tried at their anchors only, and judged there (raw-scan-time.test.ts). */
const RAW_SCAN = join(ROOT, 'src/detect/raw-scan/')

export function discoverPatterns (): { patterns: Pattern[], faults: string[], files: string[] } {
  const files = withImports([...typescriptIn(join(ROOT, 'src/detect')), ...REDACTION.filter((file) => existsSync(file))])
  const patterns: Pattern[] = []
  const faults: string[] = []
  for (const file of files) {
    if (file !== BUILDERS && !file.startsWith(RAW_SCAN)) readFile(readFileSync(file, 'utf8'), file, patterns, faults)
  }
  return { patterns, faults, files: files.map((file) => relative(ROOT, file)) }
}

/** The same for one text, as if it stood in src/detect. */
export function patternsOf (source: string): { patterns: Pattern[], faults: string[] } {
  const patterns: Pattern[] = []
  const faults: string[] = []
  readFile(source, join(ROOT, 'src/detect/example.ts'), patterns, faults)
  return { patterns, faults }
}

function typescriptIn (folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).sort()
    .map((name) => join(folder, name))
}

function withImports (entries: string[]): string[] {
  const known = new Set(entries)
  for (const file of known) {
    for (const { fileName } of ts.preProcessFile(readFileSync(file, 'utf8')).importedFiles) {
      if (fileName.startsWith('.')) known.add(join(dirname(file), fileName))
    }
  }
  return [...known]
}

function readFile (text: string, file: string, patterns: Pattern[], faults: string[]): void {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const where = (node: ts.Node): string =>
    `${relative(ROOT, file)}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
  const visit = (node: ts.Node): void => {
    if (isMaker(node)) {
      const value = evaluate(node as ts.Expression, source)
      const made = typeof value === 'string' ? new RegExp(value) : value
      if (made instanceof RegExp) patterns.push({ at: where(node), file, pattern: made, ...usageOf(node, made) })
      else faults.push(`${where(node)}: ${node.getText().slice(0, 60)} cannot be told from the source`)
      // Parts are judged as the whole they make.
      return
    }
    if (isHidden(node)) faults.push(`${where(node)}: ${node.parent.getText().slice(0, 60)} hides an expression`)
    ts.forEachChild(node, visit)
  }
  visit(source)
}

/** A literal, a call of std/regex.ts, `RegExp()` with or without `new`, or a string where an expression is made of it. */
function isMaker (node: ts.Node): boolean {
  if (ts.isRegularExpressionLiteral(node)) return true
  if (ts.isStringLiteralLike(node)) {
    return ts.isCallExpression(node.parent) && node.parent.arguments[0] === node &&
      ts.isPropertyAccessExpression(node.parent.expression) &&
      ['match', 'matchAll', 'search'].includes(node.parent.expression.name.text)
  }
  return (ts.isCallExpression(node) || ts.isNewExpression(node)) && ts.isIdentifier(node.expression) &&
    (node.expression.text === 'RegExp' || BUILDER_NAMES.includes(node.expression.text))
}

/** A builder or the constructor that goes by another name, or is handed on. */
function isHidden (node: ts.Node): boolean {
  if (!ts.isIdentifier(node) || !(node.text === 'RegExp' || BUILDER_NAMES.includes(node.text))) return false
  const { parent } = node
  if (ts.isImportSpecifier(parent)) return parent.propertyName !== undefined
  if (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword) return false
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node && parent.name.text !== 'escape'
  return !ts.isTypeNode(parent)
}

/** The value of an expression out of literals, builders and constants of the same file or imported, or undefined. */
function evaluate (node: ts.Expression, source: ts.SourceFile): unknown {
  const scope: Record<string, unknown> = { ...builders }
  const collect = (one: ts.Node): void => {
    if (ts.isIdentifier(one) && one.text in scope === false) {
      const home = constantOf(one.text, source) === undefined ? importedFrom(one.text, source) : source
      const constant = home === undefined ? undefined : constantOf(one.text, home)
      if (constant !== undefined) scope[one.text] = evaluate(constant, home!)
    }
    ts.forEachChild(one, collect)
  }
  collect(node)
  try {
    const code = ts.transpileModule(`return (${node.getText()})`, { compilerOptions: { target: ts.ScriptTarget.Latest } }).outputText
    return compileFunction(code, Object.keys(scope))(...Object.values(scope))
  } catch {
    return undefined
  }
}

/** The file of ours that a name is imported from under the same name. */
function importedFrom (name: string, source: ts.SourceFile): ts.SourceFile | undefined {
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) continue
    const { text } = statement.moduleSpecifier
    const names = statement.importClause?.namedBindings
    if (!text.startsWith('.') || names === undefined || !ts.isNamedImports(names)) continue
    if (!names.elements.some((one) => one.name.text === name && one.propertyName === undefined)) continue
    const file = join(dirname(source.fileName), text)
    return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  }
  return undefined
}

function constantOf (name: string, source: ts.SourceFile): ts.Expression | undefined {
  for (const statement of source.statements) {
    if (!ts.isVariableStatement(statement)) continue
    for (const one of statement.declarationList.declarations) {
      if (ts.isIdentifier(one.name) && one.name.text === name) return one.initializer
    }
  }
  return undefined
}

function usageOf (node: ts.Node, made: RegExp): Pick<Pattern, 'scan' | 'charactersMax'> {
  const scan = made.global ? 'all' : 'once'
  const { parent } = node
  const call = ts.isPropertyAccessExpression(parent) && parent.expression === node ? parent.parent : parent
  if (!ts.isCallExpression(call) || !ts.isPropertyAccessExpression(call.expression)) {
    return { scan, charactersMax: Infinity }
  }
  const { name, expression } = call.expression
  if (expression === node) return { scan, charactersMax: sliceMax(call.arguments[0]) }
  return { scan: name.text === 'split' ? 'split' : scan, charactersMax: sliceMax(expression) }
}

/** The length that `x.slice(0, 80)` has at most. */
function sliceMax (node: ts.Expression | undefined): number {
  if (node === undefined || !ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) {
    return Infinity
  }
  const [from, to] = node.arguments
  if (node.expression.name.text !== 'slice' || from === undefined) return Infinity
  const start = Number(from.getText())
  if (start < 0) return -start
  return to === undefined || Number.isNaN(start) || Number.isNaN(Number(to.getText()))
    ? Infinity
    : Number(to.getText()) - start
}
