import { PLUS_BLANK } from './decode-bytes.ts'

/** Shorter runs are words, ids and paths. */
const RUN_CHARACTERS_MIN = 24

const SIX_BITS = new Int8Array(256).fill(-1)
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
for (let value = 0; value < 64; value++) SIX_BITS[ALPHABET.charCodeAt(value)] = value
SIX_BITS[45] = 62
SIX_BITS[95] = 63

/** What a byte is worth in base64, or -1; without `/` and lost `+`: a piece of a path, a word of a form. */
export const NARROW = SIX_BITS.slice()
NARROW[47] = -1
/** The same with `/`, and with a `+` that a form read as a blank. */
export const WIDE = SIX_BITS.slice()
WIDE[PLUS_BLANK] = 62

/**
 * Decodes every run of base64 in `length` bytes of `source` into `target`, each followed by a line break; lines that a
 * mail program wrapped are one run. `values` is WIDE or NARROW. The number of bytes written, never more than `length`.
 */
export function decodeBase64Runs (source: Uint8Array, length: number, target: Uint8Array, values: Int8Array): number {
  let out = 0
  let runOut = 0
  let characters = 0
  let bits = 0
  let held = 0
  for (let at = 0; at <= length; at++) {
    const byte = at < length ? source[at] as number : 0
    const value = at < length ? values[byte] as number : -1
    if (value >= 0) {
      characters++
      held = (held << 6 | value) & 0xffff
      bits += 6
      if (bits >= 8) {
        bits -= 8
        target[out++] = held >> bits & 0xff
      }
      continue
    }
    if (characters === 0) continue
    if ((byte === 10 || byte === 13) && characters >= RUN_CHARACTERS_MIN && at < length) continue
    if (characters < RUN_CHARACTERS_MIN) out = runOut
    else target[out++] = 10
    runOut = out
    characters = 0
    bits = 0
  }
  return out
}
