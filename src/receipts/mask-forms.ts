/**
 * Masking by form: what gives itself away as a secret wherever it stands, whatever its name. Pure, linear.
 */
import { anyOf, sequence } from '../std/regex.ts'
import { maskEncoded, maskShape } from './mask-shape.ts'
import { isSecretName } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

/**
 * Our keys and tokens (`neko_`, `nekr_`), JWTs, keys of well-known makers, PEM keys, credentials in a URL. Each
 * alternative begins at a boundary, so that a run of letters is read once and not once from each of its letters. A PEM
 * key without its END line is masked to the end of the text.
 */
const TOKENS = anyOf([
  // A JWT, or its head; percent-encoded text may stand before it.
  /(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))eyJ[\w-]{8,}(?:\.[\w-]*){1,4}/,
  /(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))nek[or](?:_|%5[Ff])[\w%-]{8,}/,
  sequence([
    /\b/,
    [
      /(?:sk|pk|rk|gh[opsur]|github_pat|gl(?:pat|sa|ptt|dt)|xox[abeprs]|xapp|npm|hf|shp(?:at|ss|ca))[_-]/,
      /(?:pypi|whsec|gsk|dop_v1|lin_api|sq0[a-z]{3})[_-]|ATATT|EAAC/
    ],
    /[\w-]{12,}/
  ]),
  /\b(?:SG|ya29)\.[\w.-]{12,}/,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/,
  /\bAIza[\w-]{30,}/,
  /(?<=\b(?:[Bb]earer|[Bb]asic|[Tt]oken|[Dd]igest|[Aa]pi[Kk]ey)(?: |%20|\+))[\w.~+/=-]{6,}/,
  // As a protocol of a WebSocket, whose handshake has no other place for it.
  /(?<=\b[Bb]earer\.)[\w.~+/=-]{4,}/,
  /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]*?(?:-----END|$)/,
  // Up to the last sign, which a password may hold as well.
  /(?<=\/\/)[^\s/?#"'<>\\]{1,512}(?=@)/
], 'g')
/** The shortest text that hides anything: `pw=1`, or a URL with one letter of credentials. */
export const HIDING_LENGTH_MIN = 'pw=1'.length

export function maskTokens (text: string, place: string, onMasked: OnMasked): string {
  if (text.length < HIDING_LENGTH_MIN) return text
  return text.replace(TOKENS, (token) => {
    onMasked(place)
    return maskShape(token)
  })
}

const OPTION = /(?<![\w-])--?([A-Za-z2][\w.-]{1,40})(?:[ \t]|%20|\\[nt])+/g
/** `-u name:password`, of curl and others. */
const USER_OPTION = /(?<![\w-])(?:-u|--user|--proxy-user|-U)(?:[ \t=]|%20){1,8}\\{0,8}["']?([^\s:"']{0,64}:)/g
const QUOTED_OR_WORD = /\\{0,8}(["'])(?:[^\\]|\\[\s\S]?)*?(?:\1|$)|[^\s"'&;|<>]+/y

/** `--password x` and `-u name:x` of a command line. */
export function maskOptions (text: string, place: string, onMasked: OnMasked): string {
  if (!text.includes('-')) return text
  return maskAfter(maskAfter(text, OPTION, isSecretName, place, onMasked), USER_OPTION, () => true, place, onMasked)
}

/** `("password", "x")`, `['password', 'x']`: a secret's name and its value in a list. */
const LISTED = /[[({,]\s{0,8}\\{0,8}(["'])([\w $.-]{2,64})\\{0,8}\1\s{0,8},\s{0,8}(?:[[(]\s{0,8})?(?=\\{0,8}["'])/g

export function maskListed (text: string, place: string, onMasked: OnMasked): string {
  if (!text.includes(',')) return text
  return maskAfter(text, LISTED, isSecretName, place, onMasked)
}

/** The quoted text or the word behind each match that names a secret by its last group. */
function maskAfter (
  text: string,
  pattern: RegExp,
  isSecret: (name: string) => boolean,
  place: string,
  onMasked: OnMasked
): string {
  let out = ''
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const name = match.at(-1) as string
    const start = pattern.lastIndex
    if (!isSecret(name)) continue
    QUOTED_OR_WORD.lastIndex = start
    const end = QUOTED_OR_WORD.test(text) ? QUOTED_OR_WORD.lastIndex : start
    if (end === start) continue
    onMasked(`${place}.${name.replace(/\W+$/, '')}`)
    out += text.slice(out.length, start) + maskEncoded(text.slice(start, end))
    pattern.lastIndex = end
  }
  return out + text.slice(out.length)
}
