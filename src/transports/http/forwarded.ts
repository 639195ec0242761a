/**
 * `Forwarded` (RFC 7239), read from its right end, where the nearest proxy wrote: what stands further left may be a
 * client's, with quotes that never end, and must not change how the rest is read. Linear in its length.
 */
const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** One pair with what ends it; values that are neither token nor quoted are as senders write them: `for=[::1]`. */
const PAIR = /[ \t]*(?:([\w!#$%&'*+.^`|~-]{1,64})=("(?:[^"\\]|\\.)*"|[^\s";,]*))?[ \t]*(?:;|$)/y

/** The nodes that elements stand for, the nearest first; null where one is broken, unknown or names none. */
export function forwardedFor (list: string, max: number): Array<string | null> {
  return elementsFromRight(list, max).map(nodeOf)
}

function elementsFromRight (list: string, max: number): string[] {
  const elements: string[] = []
  let end = list.length
  let quoted = false
  for (let i = end - 1; i >= 0 && elements.length < max; i--) {
    const code = list.charCodeAt(i)
    if (code === QUOTE && !isEscaped(list, i)) quoted = !quoted
    else if (code === COMMA && !quoted) {
      elements.push(list.slice(i + 1, end))
      end = i
    }
  }
  if (elements.length < max) elements.push(list.slice(0, end))
  return elements
}

function isEscaped (list: string, at: number): boolean {
  let first = at
  while (first > 0 && list.charCodeAt(first - 1) === BACKSLASH) first--
  return (at - first) % 2 === 1
}

/** The value of `for`, unquoted; null for an element that is no list of pairs, or has none or two of it. */
function nodeOf (element: string): string | null {
  let node: string | null = null
  PAIR.lastIndex = 0
  while (PAIR.lastIndex < element.length) {
    const pair = PAIR.exec(element)
    if (pair === null) return null
    const [, name, value] = pair
    if (name?.toLowerCase() !== 'for') continue
    if (node !== null) return null
    node = value!.startsWith('"') ? value!.slice(1, -1).replace(/\\(.)/g, '$1') : value!
  }
  return node
}
