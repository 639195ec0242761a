import { foldWidth } from '../payload/decode.ts'

/**
 * What the scorer takes a look-alike for, by code point: one ASCII character, or two packed into one number, the first
 * times 256; 0 for what looks like nothing in ASCII. Curly double quotes are left out on purpose: prose quotes with
 * them, and an ASCII quote would be the beginning of a value.
 */
export const LOOK_ALIKES = new Uint16Array(0x10000)
const CURLY_DOUBLE_QUOTES = '\u201c\u201d'
/** Blocks of Unicode in which look-alikes stand: to ask for every code point would cost a thread's start 10 ms. */
for (const [from, to] of [[0x2b0, 0x2ff], [0x2000, 0x30ff], [0xff00, 0xffef]] as const) {
  for (let point = from; point <= to; point++) {
    const character = String.fromCharCode(point)
    const plain = foldWidth(character)
    if (plain === character || CURLY_DOUBLE_QUOTES.includes(character)) continue
    LOOK_ALIKES[point] = plain.length === 1 ? plain.charCodeAt(0) : plain.charCodeAt(0) << 8 | plain.charCodeAt(1)
  }
}
