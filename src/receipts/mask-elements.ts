/**
 * Masking in elements of XML and HTML: the whole content of one with a secret name, whatever stands in it, as elements,
 * comments and CDATA do. Linear: tags are read once, and their ends are found on a stack.
 */
import { NAME_MAX, isReference } from './mask-named.ts'
import { maskEncoded } from './mask-shape.ts'
import { isNameKey, isSecretName, isValueKey } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

const MARK = /<!\[CDATA\[|<!--|<(\/?)([A-Za-z_][\w.:-]{0,63})/g

/** The first line that is not blank. */
const LINE = /\s*[^\r\n]*/y

interface Content { name: string, start: number, end: number }

export function maskElements (text: string, place: string, onMasked: OnMasked): string {
  if (!text.includes('<')) return text
  let out = ''
  let from = 0
  for (const { name, start, end } of secretContents(text)) {
    const first = Math.max(from, start)
    const content = text.slice(first, end)
    if (end <= first || isReference(content)) continue
    onMasked(`${place}.${name}`)
    out += text.slice(from, first) + maskContent(content)
    from = end
  }
  return from === 0 ? text : out + text.slice(from)
}

/** What stands in elements of secret names, the first to begin first. */
function secretContents (text: string): Content[] {
  const found: Content[] = []
  const open: Array<{ tag: string, content: Content }> = []
  const openByTag = new Map<string, number>()
  const pairs = new Pairs(text)
  let bracket = -1
  MARK.lastIndex = 0
  for (let match = MARK.exec(text); match !== null; match = MARK.exec(text)) {
    if (match[2] === undefined) {
      // Within a secret its closing tag may stand in a comment as well, and closes nothing there.
      if (open.length === 0) continue
      const end = match[0] === '<!--' ? text.indexOf('-->', MARK.lastIndex) : text.indexOf(']]>', MARK.lastIndex)
      if (end === -1) break
      MARK.lastIndex = end
      continue
    }
    const name = match[2].slice(match[2].lastIndexOf(':') + 1)
    if (match[1] !== '') {
      const paired = pairs.close(name, match.index)
      if (paired !== null) found.push(paired)
    }
    const tag = match[2].toLowerCase()
    if (match[1] === '') {
      if (bracket < MARK.lastIndex) bracket = text.indexOf('>', MARK.lastIndex)
      if (bracket === -1) break
      const attributes = text.slice(MARK.lastIndex, Math.min(bracket, MARK.lastIndex + ATTRIBUTES_MAX))
      const isPaired = pairs.open(name, bracket + 1)
      if (text[bracket - 1] === '/') continue
      const secret = isSecretName(name) ? name : isPaired ? 'value' : secretNameIn(attributes)
      if (secret === null) continue
      const content = { name: secret, start: bracket + 1, end: -1 }
      found.push(content)
      open.push({ tag, content })
      openByTag.set(tag, (openByTag.get(tag) ?? 0) + 1)
      continue
    }
    while ((openByTag.get(tag) ?? 0) > 0) {
      const last = open.pop() as typeof open[number]
      openByTag.set(last.tag, (openByTag.get(last.tag) as number) - 1)
      if (last.tag !== tag) continue
      last.content.end = match.index
      break
    }
  }
  const isMarkup = /^[\s"'\\\u00ef\u00bb\u00bf]*</.test(text)
  for (const content of found) if (content.end === -1) content.end = endOfUnclosed(text, content.start, isMarkup)
  return found.sort((a, b) => a.start - b.start)
}

const ATTRIBUTES_MAX = 512
const NAMING = /\b(name|key|field|param|property|variable|id|n)\s{0,8}=\s{0,8}\\?["']([^"'\\]{2,64})/gi

/** `<param name="password">`, whose value is its content. */
function secretNameIn (attributes: string): string | null {
  if (!attributes.includes('=')) return null
  for (const match of attributes.matchAll(NAMING)) if (isSecretName(match[2] as string)) return match[2] as string
  return null
}

/**
 * `<name>password</name><value>x</value>`, in either order, as XML-RPC, property lists and others write pairs: behind
 * the name of a secret, whatever element comes next is its value.
 */
class Pairs {
  readonly #text: string
  #nameStart = -1
  #valueStart = -1
  /** A value that no name stood before. */
  #value: Content | null = null
  #isNamed = false
  #isSecret = false

  constructor (text: string) {
    this.#text = text
  }

  /** An element begins; true when it is a secret's value. */
  open (name: string, start: number): boolean {
    if (this.#isSecret) {
      this.#isSecret = this.#isNamed = false
      return true
    }
    if (isNameKey(name)) this.#nameStart = start
    else if (isValueKey(name)) this.#valueStart = start
    return false
  }

  /** An element ends; gives the value that stood before its name. */
  close (name: string, end: number): Content | null {
    if (isValueKey(name)) {
      this.#value = this.#isNamed || this.#valueStart === -1 ? null : { name: 'value', start: this.#valueStart, end }
      this.#isNamed = false
      return null
    }
    if (!isNameKey(name) || this.#nameStart === -1) return null
    const given = this.#text.slice(this.#nameStart, Math.min(end, this.#nameStart + NAME_MAX)).trim()
    const before = this.#value
    this.#nameStart = -1
    this.#value = null
    const isSecret = isSecretName(given)
    this.#isNamed = before === null
    this.#isSecret = isSecret && before === null
    return isSecret ? before : null
  }
}

/**
 * An element that is cut off ends with the text. In prose `<token>` stands for a token, and what follows is none: there
 * the next tag ends it, or else the line.
 */
function endOfUnclosed (text: string, start: number, isMarkup: boolean): number {
  if (isMarkup) return text.length
  const next = text.indexOf('<', start)
  if (next !== -1) return next
  LINE.lastIndex = start
  return LINE.test(text) ? LINE.lastIndex : start
}

function maskContent (content: string): string {
  return content.split(/(<!\[CDATA\[)/).map((piece, at) => at % 2 === 1 ? piece : maskEncoded(piece)).join('')
}
