import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import ts from 'typescript'

/** What test/tidy.system.test.ts asks of the sources: read as text and as syntax, without running any of it. */
export interface Source { path: string, text: string, tree: ts.SourceFile }

export function readSource (root: URL, path: string): Source {
  const text = readFileSync(new URL(path, root), 'utf8')
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true) }
}

/** Functions, methods and closures longer than `linesMax`, as `path:line name lines`. */
export function longFunctions ({ path, tree }: Source, linesMax: number): string[] {
  const found: string[] = []
  const lineOf = (position: number): number => tree.getLineAndCharacterOfPosition(position).line + 1
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const first = lineOf(node.getStart())
      const lines = lineOf(node.getEnd()) - first + 1
      if (lines > linesMax) found.push(`${path}:${first} ${node.name?.getText() ?? 'a closure'} ${lines}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

/** Names that a file exports, default exports left out: those are plugins and entries. */
export function exportsOf ({ tree }: Source): string[] {
  return tree.statements.flatMap((statement) => {
    if (ts.isExportDeclaration(statement) && statement.exportClause !== undefined && ts.isNamedExports(statement.exportClause)) {
      return statement.exportClause.elements.map((element) => element.name.text)
    }
    const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) ?? [] : []
    const kinds = new Set(modifiers.map((modifier) => modifier.kind))
    if (!kinds.has(ts.SyntaxKind.ExportKeyword) || kinds.has(ts.SyntaxKind.DefaultKeyword)) return []
    if (ts.isVariableStatement(statement)) {
      return statement.declarationList.declarations.map((declaration) => declaration.name.getText())
    }
    const { name } = statement as ts.DeclarationStatement
    return name === undefined ? [] : [name.getText()]
  })
}

/** What a file takes from others of the project, as `path#name`; `path#*` where it takes all. */
export function importsOf ({ path, text, tree }: Source): string[] {
  const resolved = (specifier: string): string => posix.normalize(posix.join(posix.dirname(path), specifier))
  const static_ = tree.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return []
    const specifier = statement.moduleSpecifier
    if (specifier === undefined || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return []
    const bindings = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings : statement.exportClause
    if (bindings === undefined) return []
    if (ts.isNamespaceImport(bindings) || ts.isNamespaceExport(bindings)) return [`${resolved(specifier.text)}#*`]
    return [...bindings.elements].map((element) => `${resolved(specifier.text)}#${(element.propertyName ?? element.name).text}`)
  })
  const dynamic = [...text.matchAll(/import\(['"](\.[^'"]+)['"]\)/g)].map((match) => `${resolved(match[1] as string)}#*`)
  return [...static_, ...dynamic]
}

/** Packages that a file imports: names alone, without what is inside them. */
export function packagesOf ({ text }: Source): string[] {
  const specifiers = [...text.matchAll(/(?:from |import\(|import )['"]([^.'"][^'"]*)['"]/g)].map((match) => match[1] as string)
  return specifiers.filter((name) => !name.startsWith('node:')).map((name) => name.split('/').slice(0, name.startsWith('@') ? 2 : 1).join('/'))
}
