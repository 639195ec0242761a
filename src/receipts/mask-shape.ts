/**
 * The shape of a secret: letters become `a`, digits `0`, so that a length or an alphabet can still be judged in a
 * replay and nothing can be read. Text is bytes as latin1 here: what is masked keeps its length. Pure, linear.
 */

/** Called with the place of each secret that was masked. */
export type OnMasked = (place: string) => void

/** Code units from here on are letters of some alphabet. */
const NON_ASCII_FROM = 0x80

/** Same length, same punctuation, no content. */
export function maskShape (text: string): string {
  const shape = Buffer.allocUnsafe(text.length)
  for (let i = 0; i < text.length; i++) shape[i] = shapeOf(text.charCodeAt(i))
  return shape.toString('latin1')
}

/** The shape of one code unit, always ASCII. */
function shapeOf (unit: number): number {
  const lower = unit | 0x20
  if ((lower >= 0x61 && lower <= 0x7a) || unit >= NON_ASCII_FROM) return 0x61
  return unit >= 0x30 && unit <= 0x39 ? 0x30 : unit
}

/**
 * The same for text in which escapes may stand: percent signs keep two digits behind them, so that the shape decodes to
 * letters, and no backslash is left before a letter, which would be another escape.
 */
export function maskEncoded (value: string): string {
  const shape = value.includes('%')
    ? maskShape(value.replace(/%[0-9A-Fa-f]{2}/g, '%\0\0')).replaceAll('%\0\0', '%61')
    : maskShape(value)
  if (!shape.includes('\\')) return shape
  return shape.replace(/(?<!\\)\\+(?=[a0])/g, (slashes) => slashes.length % 2 === 0 ? slashes : slashes.slice(1) + 'a')
}

/** ASCII in a name is written out, however often it was encoded, so that no filter in front knows the name. */
export function decodeAscii (name: string): string {
  if (!name.includes('%')) return name
  return name.replace(/%(?:25)*([2-7][0-9A-Fa-f])/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
}

/**
 * Escapes of ASCII in strings are written out, as `w` for `\u0077` and `\"` for `\u0022`, also of strings in strings.
 * What was a JSON string stays one.
 */
export function unescapeAscii (text: string): string {
  if (!text.includes('\\u00')) return text
  return text.replace(/(?<!\\)(\\+)u005[Cc]/g, '$1$1').replace(
    /(?<!\\)(\\+)u00([2-7][0-9A-Fa-f])/g,
    (_, slashes: string, digits: string) => {
      const character = String.fromCharCode(parseInt(digits, 16))
      if (character === '"') return '\\'.repeat(slashes.length | 1) + character
      if (character === '\\') return slashes + slashes
      // The last of an odd number is the escape's own, and the others are characters in pairs.
      return (slashes.length % 2 === 1 ? slashes.slice(1) : '') + character
    }
  )
}
