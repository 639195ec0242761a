import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { requirePasswordBounds } from './passwords.ts'

/**
 * What a new password may be (NIST SP 800-63B, section 5.1.1.2): long, none of those most in use, no pattern, not the
 * user's own name; no demands on kinds of characters. What is refused is what a guesser tries first, so each rule also
 * sees the usual disguises: capitals, separators, digits and signs around, letters written as digits, backwards, twice.
 *
 * Never does: keep or name a password. All is linear in the password, which has at most 256 bytes.
 */
const CHARACTERS_MIN = 12
/** What somebody has to think of: below it, too few guesses are needed whatever the length. */
const FREE_CHARACTERS_MIN = 8
const DISTINCT_CHARACTERS_MIN = 5
/** Around a common password: a year and two signs, or a birthday. More of them is more than a simple variant. */
const AROUND_MAX = 6
/** Shorter names are parts of too many words. */
const NAME_CHARACTERS_MIN = 3
/** Beside the name: fewer make no password of their own. */
const BESIDE_NAME_MIN = 6
const LETTERS_BESIDE_NAME_MIN = 4

const COMMON = 'A password must not be one of those most in use, also not with a few characters changed or added'
const PATTERN = 'A password must not repeat the same few characters, or follow the alphabet, digits or rows of keys'
const OWN_NAME = 'A password must not be made of the user\'s own name'

/**
 * For a password that somebody chose, before it is stored.
 * @throws NEKO_ERR_INPUT_INVALID, whose message says the rule
 */
export async function requireUsablePassword (password: string, username: string): Promise<void> {
  requirePasswordBounds(password)
  if ([...password].length < CHARACTERS_MIN) {
    throw new NEKO_ERR_INPUT_INVALID(`A password must have ${CHARACTERS_MIN} characters or more`)
  }
  const lower = password.normalize('NFKC').toLowerCase()
  if (isMadeOf(lower, username.toLowerCase())) throw new NEKO_ERR_INPUT_INVALID(OWN_NAME)
  const texts = [lower, lettersAndDigits(lower)]
  const units = texts.map(unitOf)
  if (
    new Set(lower).size < DISTINCT_CHARACTERS_MIN || freeCharacters(lower) < FREE_CHARACTERS_MIN ||
    units.some((unit, i) => unit !== texts[i] && freeCharacters(unit) < FREE_CHARACTERS_MIN)
  ) {
    throw new NEKO_ERR_INPUT_INVALID(PATTERN)
  }
  const common = await commonPasswords()
  if ([...texts, ...units].some((text) => disguises(text).some((word) => common.has(word)))) {
    throw new NEKO_ERR_INPUT_INVALID(COMMON)
  }
}

/** Read when a password is set for the first time in a process: 80 ms and some 8 MB, which most never need. */
let loading: Promise<ReadonlySet<string>> | null = null

/** 49,233, folded as what is looked up in it. */
function commonPasswords (): Promise<ReadonlySet<string>> {
  loading ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) =>
    new Set(dictionary['passwords-common'].map(folded))
  )
  return loading
}

/** The words that a text may stand for, folded: without what is around them, forwards and backwards. */
function disguises (text: string): string[] {
  const words = innerWords(text).map(folded)
  return [...words, ...words.map(reversed)]
}

/** A text without a little of the digits and signs around it: all of them, none, or some, as words have digits too. */
function innerWords (text: string): string[] {
  const characters = [...text]
  const first = characters.findIndex(isLetter)
  const end = characters.findLastIndex(isLetter) + 1
  const [before, after] = first < 0 ? [characters.length, characters.length] : [first, characters.length - end]
  const part = (from: number, cut: number): string => characters.slice(from, characters.length - cut).join('')
  const words = []
  for (let from = 0; from <= Math.min(before, AROUND_MAX); from++) {
    for (let cut = 0; cut <= Math.min(after, AROUND_MAX - from); cut++) words.push(part(from, cut))
  }
  // A row of digits is little, however long.
  const [head, tail] = [part(0, characters.length - before), part(characters.length - after, 0)]
  const around = freeCharacters(head) + freeCharacters(tail)
  return first < 0 || around > AROUND_MAX ? words : [...words, part(before, after)]
}

const AS_LETTERS: Record<string, string> = {
  0: 'o', 1: 'i', 2: 'z', 3: 'e', 4: 'a', 5: 's', 6: 'g', 7: 't', 8: 'b', 9: 'g', '@': 'a', $: 's', '!': 'i', l: 'i'
}

/** Digits and signs as the letters they stand for (1 is i and l): one for each, so that places stay the same. */
function folded (text: string): string {
  return text.replace(/[0-9@$!l]/g, (c) => AS_LETTERS[c]!)
}

/** Neighbours in the alphabet, among the digits, and on keyboards in rows and columns. */
const NEIGHBOURS = new Set([
  'abcdefghijklmnopqrstuvwxyz', '01234567890', 'qwertyuiop', 'asdfghjkl', 'zxcvbnm', 'qwertzuiop', 'yxcvbnm',
  'azertyuiop', 'qsdfghjklm', 'wxcvbn', '1qaz', '2wsx', '3edc', '4rfv', '5tgb', '6yhn', '7ujm'
].flatMap((row) => [...row].slice(1).map((c, i) => row[i]! + c)))
const ROW_MIN = 3

/** Characters that somebody has to think of: one that is repeated counts once, and so does a row of neighbours. */
export function freeCharacters (text: string): number {
  const characters = [...text].filter((c, i, all) => c !== all[i - 1])
  let free = 0
  for (let i = 0; i < characters.length; free++) {
    const row = Math.max(rowAt(characters, i, false), rowAt(characters, i, true))
    i += row >= ROW_MIN ? row : 1
  }
  return free
}

function rowAt (characters: readonly string[], start: number, backwards: boolean): number {
  let end = start + 1
  while (end < characters.length) {
    const [one, next] = [characters[end - 1]!, characters[end]!]
    if (!NEIGHBOURS.has(backwards ? next + one : one + next)) break
    end++
  }
  return end - start
}

/** The part that the whole text repeats, twice or more, the last time perhaps in part; else the text itself. */
function unitOf (text: string): string {
  // The failure function of Knuth, Morris and Pratt: how much of the end is also the beginning.
  const border = [0]
  for (let i = 1, k = 0; i < text.length; i++) {
    while (k > 0 && text[i] !== text[k]) k = border[k - 1]!
    if (text[i] === text[k]) k++
    border[i] = k
  }
  const period = text.length - (border.at(-1) ?? 0)
  return period * 2 <= text.length ? text.slice(0, period) : text
}

/** Whether little but the name is left of a password that holds it, or a part of it, forwards or backwards. */
function isMadeOf (password: string, username: string): boolean {
  const parts = [username, lettersAndDigits(username), ...username.split(/[^a-z0-9]+|[0-9]+$/)]
  const long = parts.filter((part) => part.length >= NAME_CHARACTERS_MIN).map(folded)
  const text = folded(password)
  const beside = password.split('')
  for (const name of new Set(long.flatMap((part) => [part, reversed(part)]))) {
    for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) beside.fill('', at, at + name.length)
  }
  if (!beside.includes('')) return false
  return beside.filter(isLetterOrDigit).length < BESIDE_NAME_MIN ||
    beside.filter(isLetter).length < LETTERS_BESIDE_NAME_MIN
}

function lettersAndDigits (text: string): string {
  return [...text].filter(isLetterOrDigit).join('')
}

function isLetter (c: string): boolean {
  return /\p{L}/u.test(c)
}

function isLetterOrDigit (c: string): boolean {
  return /[\p{L}\p{N}]/u.test(c)
}

function reversed (text: string): string {
  return [...text].reverse().join('')
}
