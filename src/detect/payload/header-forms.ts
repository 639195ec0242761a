/**
 * Headers whose values are protocol, not data: their own factor judges them. Each has the form that its grammar gives
 * it, or what clients are known to send; a value of another form is judged as any other. Every form is anchored and has
 * one way to match.
 */
import { anyOf, repeated, sequence } from '../../std/regex.ts'
import { words } from '../../std/words.ts'
import { readEncoded } from './base64.ts'

const NUMBER = /^\d{1,20}$/
const WORD = /^\??[\w-]{1,60}$/
const DATE = /^[A-Za-z]{3,9}, ?\d{1,2}[ -][A-Za-z]{3}[ -]\d{2,4} \d{2}:\d{2}:\d{2} (?:GMT|UTC|[+-]\d{4})$/
const ITEM = /[*\w][\w.+*-]*(?:\/[\w.+*-]+)?(?:=(?:[\w.+:*?-]+|"[\w.,+:*/-]*"))?/
/** What tells a form: a pattern, or a function where a pattern would go back over long values. */
type Form = Pick<RegExp, 'test'>

/** A path that climbs, an address, a command behind another: no protocol needs one where any letters may stand. */
const LEADS_ELSEWHERE = /\.\.|\/\/|[;|=]\//

/** A form of the sender's own letters: none of them lead elsewhere, and none hold a text in base64. */
function ownLetters (pattern: Form): Form {
  return {
    test: (value) => pattern.test(value) && !LEADS_ELSEWHERE.test(value) && readEncoded(value).length === 0
  }
}

/** Words with parameters: `text/html;q=0.8, *\/*`, `no-cache`, `timeout=5, max=100`. */
const LIST = ownLetters(
  sequence([/^/, ITEM, repeated([sequence([/[ \t]{0,4}[,;][ \t]{0,4}/, ITEM])], '*'), /[,;]?$/])
)
const ETAGS = /^(?:\*|(?:W\/)?"[\w+./:=,~-]{0,200}"(?:, ?(?:W\/)?"[\w+./:=,~-]{0,200}"){0,50}|[\w+.:=~-]{1,200})$/
/** Chromium shuffles a brand that is none, with signs in it, so that nobody reads the list by position. */
const BRAND = sequence([
  /" ?/,
  [/[\w.-]{1,30}(?: [\w.-]{1,30}){0,3}/, /Not[ ()\-./:;=?_]{0,2}A[ ()\-./:;=?_]{0,2}Brand/],
  /";v="[\d.]{1,30}"(?:, ?|$)/
])
const BRANDS = sequence([/^/, repeated([BRAND], '{0,10}'), /$/])
/** One word or two; a name of more is judged as any value. */
const QUOTED = /^"[\w.+-]{0,40}(?: [\w.+-]{1,20})?"$/
const HOST = /^[\w.-]{1,255}(?::\d{1,5})?$|^\[[\da-f:.]{2,45}\](?::\d{1,5})?$/i
const ORIGIN = anyOf([
  /^null$|^[a-z][a-z\d+.-]{1,30}:\/\/[\w.-]{1,255}(?::\d{1,5})?$/,
  /^https?:\/\/\[[\da-f:.]{2,45}\](?::\d{1,5})?$/
], 'i')
/** Keys and tokens, whose letters are the sender's. */
const OPAQUE_CHARACTERS_MAX = 8_192
const NOT_OPAQUE = /[^\w.~+/=:|-]/
const OPAQUE: Form = {
  test: (value) => value.length > 0 && value.length <= OPAQUE_CHARACTERS_MAX && !NOT_OPAQUE.test(value)
}
const SCHEME = /^(?:Bearer|Token|Key|ApiKey|Api-Key|JWT|Negotiate|NTLM|OAuth) {1,4}/i
/** What credentials hold in base64 is for who issued them. */
const CREDENTIALS: Form = {
  test: (value) => {
    const token = value.replace(SCHEME, '')
    return OPAQUE.test(token) && !LEADS_ELSEWHERE.test(token)
  }
}

/** Form by the names of its headers. */
const FORMS: Array<[Form, string]> = [
  [LIST, `
    accept accept-encoding accept-charset accept-ranges accept-language connection te trailer transfer-encoding upgrade
    cache-control pragma expect keep-alive content-encoding sec-websocket-extensions priority
  `],
  [NUMBER, 'content-length dnt max-forwards sec-gpc upgrade-insecure-requests sec-websocket-version'],
  [DATE, 'date if-modified-since if-unmodified-since'],
  [ownLetters(ETAGS), 'if-none-match if-match'],
  [ownLetters(anyOf([DATE, ETAGS])), 'if-range'],
  [/^\w{1,20}=[\d, -]{1,400}$/, 'range'],
  [BRANDS, 'sec-ch-ua sec-ch-ua-full-version-list'],
  [QUOTED, 'sec-ch-ua-platform sec-ch-ua-arch sec-ch-ua-bitness sec-ch-ua-model sec-ch-ua-platform-version'],
  [WORD, 'sec-ch-ua-mobile sec-fetch-site sec-fetch-mode sec-fetch-dest sec-fetch-user'],
  [/^[\w.-]{1,100}$/, 'x-requested-with'],
  [/^[\w+/]{22}==$/, 'sec-websocket-key'],
  [HOST, 'host'],
  [ORIGIN, 'origin'],
  [ownLetters(OPAQUE), 'x-api-key x-csrf-token x-xsrf-token'],
  [CREDENTIALS, 'authorization proxy-authorization'],
  [/^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/, 'traceparent'],
  [
    ownLetters(/^[\w*/@-]{1,256}=[\w.:;+/~@-]{1,256}(?: ?, ?[\w*/@-]{1,256}=[\w.:;+/~@-]{1,256}){0,31}$/),
    'tracestate'
  ],
  [ownLetters(/^[\w.:+/=@-]{1,200}$/), 'x-request-id'],
  [
    ownLetters(/^[\w-]{1,30}(?:; ?[\w*-]{1,30}=(?:"[\w.()[\]@+,-]{0,200}"|[\w.-]{1,200})){0,6}$/),
    'content-disposition'
  ]
]

interface HeaderForm {
  pattern: Form
  /** Values that have the form, of headers in which clients send the same ones with every request. */
  known: Set<string> | null
}

const RECURRING: ReadonlySet<Form> = new Set([LIST, BRANDS, QUOTED, WORD, HOST, ORIGIN])
const KNOWN_MAX = 512
const KNOWN_CHARACTERS_MAX = 256

/** The form of a header's value by its name in lower case; none for headers that carry data. */
const HEADER_FORMS: ReadonlyMap<string, HeaderForm> = new Map(
  FORMS.flatMap(([pattern, names]) => words(names).map((name): [string, HeaderForm] =>
    [name, { pattern, known: RECURRING.has(pattern) ? new Set() : null }]
  ))
)

/** True for a value of its header's form, false for another one, null for a header that carries data. */
export function hasForm (name: string, value: string): boolean | null {
  const form = HEADER_FORMS.get(name)
  if (form === undefined) return null
  const { pattern, known } = form
  if (known === null || value.length > KNOWN_CHARACTERS_MAX) return pattern.test(value)
  if (known.has(value)) return true
  if (!pattern.test(value)) return false
  if (known.size >= KNOWN_MAX) known.clear()
  known.add(value)
  return true
}
