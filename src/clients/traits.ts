/**
 * Facts that history keeps of a request, read from its bytes in about a microsecond on the main thread: hashes, never
 * text. Bounded: at most URL_MAX characters of the target and BODY_HEAD + BODY_TAIL bytes of the body are
 * read, and their lengths count.
 *
 * The *target* is what was asked for (path, query values and body; times and cache-busters folded, so that a
 * poller that sends `since=<now>` asks for one thing). Its *shape* is the question without its values: a path
 * segment with a digit is one blank, and so are query values, JSON strings and GraphQL literals. Many targets
 * of one shape are an enumeration, a scrape, or a sync job; `number`, the last one in the request, says
 * whether it counts upwards.
 */
import { anyOf, repeated, sequence } from '../std/regex.ts'
import { finish, hashText, mixHash } from '../std/hash.ts'
import type { Observation } from '../detect/shapes.ts'

export interface RequestTraits {
  agentHash: number
  /** Agent, order of header names, languages and encodings: what stays the same when a tool changes its address. */
  fingerprintHash: number
  /** The fingerprint without the agent. */
  headersHash: number
  /** Of the token or key shown; 0 without one. Never leaves the sketch of five bits that it becomes. */
  credentialHash: number
  targetHash: number
  shapeHash: number
  routeHash: number
  /** The last number of under ten digits, or -1. */
  number: number
  loginAttempt: boolean
  /**
   * A page, a cookie, a credential, a cached copy or a form led to it, or it is a file that pages are made
   * of. Links, forms, apps and broken pages lead to what does not exist every day.
   */
  led: boolean
  /** Nothing led to it, and it brings no query either: a word list is all that leads a scanner. */
  guessed: boolean
}

const URL_MAX = 1024
/** A longer body is read at both ends: the question stands at the start, the variables often at the end. */
const BODY_HEAD = 256
const BODY_TAIL = 192

/** Never throws. */
export function readTraits (
  observation: Pick<Observation, 'method' | 'url' | 'headers' | 'body' | 'route'>
): RequestTraits {
  const { url, body, route } = observation
  const who = readHeaders(observation.headers)
  const scan: Scan = { full: finish(url.length === 0 ? 1 : 2), shape: hashText(observation.method), number: -1 }
  scanTarget(url, scan)
  const text = body === null || body.length === 0
    ? ''
    : latin1(body, 0, body.length > BODY_HEAD + BODY_TAIL ? BODY_HEAD : body.length)
  if (body !== null && text !== '') {
    scan.full = (scan.full ^ body.length) | 0
    scanBody(body, text, scan)
    if (body.length > text.length) {
      scanValues(
        body.subarray(body.length - BODY_TAIL),
        latin1(body, body.length - BODY_TAIL, body.length),
        0,
        scan
      )
    }
  }
  const led = who.led || text !== '' || isPageFile(url)
  return {
    agentHash: who.agent,
    fingerprintHash: who.fingerprint,
    headersHash: who.headers,
    credentialHash: who.credential,
    targetHash: finish(scan.full),
    shapeHash: finish(scan.shape),
    routeHash: route === null ? 0 : hashText(route),
    number: scan.number,
    loginAttempt: isLoginAttempt(observation.method, url, text),
    led,
    guessed: !led && !url.includes('?')
  }
}

function isPageFile (url: string): boolean {
  const mark = url.indexOf('?')
  return PAGE_FILE.test(mark === -1 ? url : url.slice(0, mark))
}

/** Files that pages are made of, and those that every robot may ask for. */
const PAGE_FILE = anyOf([
  /\.(?:avif|css|eot|gif|ico|jpe?g|m?js|mp[34]|otf|pdf|png|svg|ttf|webm|webp|woff2?)$/,
  sequence([
    /^\//,
    repeated([
      /robots\.txt|sitemap[^/]*\.xml|feed(?:\.xml)?|favicon[^/]*|apple-touch-icon[^/]*|humans\.txt|ads\.txt/,
      /manifest\.json|\.well-known\/[^/]+/
    ], '?'),
    /$/
  ])
], 'i')

interface Scan { full: number, shape: number, number: number }

const PRIME = 0x01000193
const BLANK = 0x23
const SLASH = 47
const MARK = 63
const EQUALS = 61
const AMPERSAND = 38
const PERCENT = 37
const QUOTE = 34
const BACKSLASH = 92

function latin1 (body: Uint8Array, start: number, end: number): string {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.length)
  return bytes.toString('latin1', start, end)
}

function scanTarget (url: string, scan: Scan): void {
  const end = Math.min(url.length, URL_MAX)
  let i = 0
  let shape = scan.shape
  let segment = shape
  while (i < end) {
    const code = url.charCodeAt(i)
    if (code === MARK) break
    if (code >= 48 && code <= 57) {
      i = readNumber(url, i, end, scan)
      // The whole segment becomes a blank, slugs like `blue-shoe-42` included.
      shape = Math.imul(segment ^ BLANK, PRIME)
      for (; i < end; i++) {
        const next = url.charCodeAt(i)
        if (next === SLASH || next === MARK) break
        if (next >= 48 && next <= 57) i = readNumber(url, i, end, scan) - 1
        else scan.full = Math.imul(scan.full ^ next, PRIME)
      }
      continue
    }
    scan.full = Math.imul(scan.full ^ code, PRIME)
    shape = Math.imul(shape ^ code, PRIME)
    if (code === SLASH) segment = shape
    i++
  }
  scan.shape = shape
  if (i < end) scanPairs(url, i + 1, end, scan)
}

/** `a=1&b=2`: names count for the shape, values for the target, cache-busters for neither. */
function scanPairs (text: string, start: number, end: number, scan: Scan): void {
  let i = start
  while (i < end) {
    let equals = i
    while (equals < end && text.charCodeAt(equals) !== EQUALS && text.charCodeAt(equals) !== AMPERSAND) {
      scan.shape = Math.imul(scan.shape ^ text.charCodeAt(equals), PRIME)
      equals++
    }
    const busts = isCacheBuster(text, i, equals)
    const before = PAGING_NAMES.has(text.slice(i, Math.min(equals, i + PAGING_NAME_MAX))) ? scan.number : null
    // A GraphQL document in a query is part of the question.
    const isDocument = equals - i === 5 && text.startsWith('query', i)
    let literal = false
    i = equals
    while (i < end && text.charCodeAt(i) !== AMPERSAND) {
      const code = text.charCodeAt(i)
      // %22 is a quote: what stands between two is a value.
      if (isDocument && code === PERCENT && text.startsWith('22', i + 1)) {
        literal = !literal
        i += 3
        continue
      }
      if (busts) i++
      else if (code >= 48 && code <= 57) i = readNumber(text, i, end, scan)
      else {
        scan.full = Math.imul(scan.full ^ code, PRIME)
        if (isDocument && !literal) scan.shape = Math.imul(scan.shape ^ code, PRIME)
        i++
      }
    }
    // Pages are turned one after the other; it is no list of numbers that somebody works through.
    if (before !== null) scan.number = before
    i++
  }
}

const PAGING_NAMES = new Set([
  'page', 'p', 'pg', 'offset', 'skip', 'start', 'after', 'cursor', 'first', 'limit', 'size', 'per_page'
])
const PAGING_NAME_MAX = 9

const CACHE_BUSTERS = new Set(['_', 't', 'ts', '_t', 'cb', 'r', 'rand', 'time', 'timestamp', 'nocache', 'cachebust'])

function isCacheBuster (text: string, start: number, end: number): boolean {
  const first = text.charCodeAt(start)
  // _, t, c, r or n: saves cutting out every other name.
  if (first !== 95 && first !== 116 && first !== 99 && first !== 114 && first !== 110) return false
  return end - start <= 9 && CACHE_BUSTERS.has(text.slice(start, end))
}

/** `text` is the head of `bytes`. */
function scanBody (bytes: Uint8Array, text: string, scan: Scan): void {
  const first = text.charCodeAt(0)
  if (first === 123 || first === 91) scanJson(bytes, text, scan)
  else scanPairs(text, 0, text.length, scan)
}

/**
 * JSON: strings are values, but for a GraphQL document, whose own literals (`\"...\"`) are. Variables are values.
 * Written on bytes and locals, without calls but for numbers: this loop is most of what a request costs here.
 */
function scanJson (bytes: Uint8Array, text: string, scan: Scan): void {
  const isGraphql = text.includes('"query"')
  const variables = isGraphql ? text.indexOf('"variables"') : -1
  const end = text.length
  const shapeEnd = variables === -1 ? end : variables
  let { full, shape } = scan
  let literal = false
  let i = 0
  while (i < shapeEnd) {
    const code = bytes[i] as number
    if (code < 58 && code >= 48) {
      scan.full = full
      i = readNumber(text, i, end, scan)
      full = scan.full
      continue
    }
    full = Math.imul(full ^ code, PRIME)
    if (code === QUOTE) {
      if (!isGraphql) literal = literal ? false : startsValue(bytes, i)
    } else if (code === BACKSLASH && isGraphql && bytes[i + 1] === QUOTE) { literal = !literal; i++ }
    if (!literal) shape = Math.imul(shape ^ code, PRIME)
    i++
  }
  scan.full = full
  scan.shape = shape
  if (i < end) scanValues(bytes, text, i, scan)
}

/**
 * Part of the target, and the place of the last number: GraphQL variables, the end of a long body. `bytes`
 * and `text` are the same.
 */
function scanValues (bytes: Uint8Array, text: string, start: number, scan: Scan): void {
  let { full } = scan
  const end = text.length
  let i = start
  while (i < end) {
    const code = bytes[i] as number
    if (code < 58 && code >= 48) {
      scan.full = full
      i = readNumber(text, i, end, scan)
      full = scan.full
    } else {
      full = Math.imul(full ^ code, PRIME)
      i++
    }
  }
  scan.full = full
}

function startsValue (bytes: Uint8Array, at: number): boolean {
  const before = bytes[at - 1]
  return before === 58 || (before === 32 && bytes[at - 2] === 58)
}

/**
 * Digits from `start`: a time or a date leaves no trace in the target, any other number is part of it.
 * Returns where it ends.
 */
function readNumber (text: string, start: number, end: number, scan: Scan): number {
  let i = start
  let value = 0
  while (i < end) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
    i++
  }
  const length = i - start
  if (length === 4 && isDateAt(text, i)) return skipDate(text, i, end)
  if (length >= 10) return i
  scan.full = Math.imul(scan.full ^ value ^ (length << 27), PRIME)
  if (!isWithinWord(text, start, i)) scan.number = value
  return i
}

/** The digits of a cursor or a hash count nothing; `user42` and `ta_7` may. */
function isWithinWord (text: string, start: number, end: number): boolean {
  return isLetterAt(text, end) || (end - start === 1 && isLetterAt(text, start - 1))
}

function isLetterAt (text: string, at: number): boolean {
  const code = text.charCodeAt(at) | 32
  return code >= 97 && code <= 122
}

function isDateAt (text: string, at: number): boolean {
  return text.charCodeAt(at) === 45 && text.charCodeAt(at + 3) === 45 && text.charCodeAt(at + 1) <= 57 &&
    text.charCodeAt(at + 4) <= 57
}

/** `-11-21T10:20:28.123Z`, colons perhaps percent-encoded. */
function skipDate (text: string, at: number, end: number): number {
  let i = at
  for (; i < end; i++) {
    const code = text.charCodeAt(i)
    const part = (code >= 48 && code <= 58) || code === 45 || code === 46 || code === 43 || code === 84 ||
      code === 90 || code === 37 || code === 65
    if (!part) break
  }
  return i
}

const LOGIN_WORDS = /login|refreshT|password|grant_type=|sign[iI]n/

/** Only what is certain at a glance: the words that logins, refreshes and token endpoints carry. */
function isLoginAttempt (method: string, url: string, text: string): boolean {
  if (method !== 'POST') return false
  if (text !== '' && LOGIN_WORDS.test(text)) return true
  return url.length < 64 && /log-?in|sign-?in|\/oauth|\/token|\/session/i.test(url)
}

const CODE_PLACES = 256

/** Names that come and go from request to request of one client; coded by length, first and last letter. */
const PASSING_NAMES = createCodeTable([
  'cookie',
  'authorization',
  'x-api-key',
  'content-length',
  'content-type',
  'transfer-encoding',
  'referer',
  'origin',
  'if-none-match',
  'if-modified-since',
  'cache-control',
  'pragma',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-real-ip',
  'via',
  'forwarded',
  'x-request-id',
  'traceparent',
  'tracestate',
  'host',
  'range',
  'upgrade-insecure-requests',
  'sec-fetch-site',
  'sec-fetch-mode',
  'sec-fetch-dest',
  'sec-fetch-user',
  'priority',
  'accept'
].map(nameCode))

/** Names that say what led to a request: a page, a visit, a credential, a copy from before. */
const LEADING_NAMES = createCodeTable(
  ['cookie', 'authorization', 'x-api-key', 'referer', 'origin', 'if-none-match', 'if-modified-since', 'range']
    .map(nameCode)
)

/**
 * A set of codes in a table without chains, half empty at least: a Set takes ten times as long, and every
 * header is asked for.
 */
function createCodeTable (codes: number[]): Int32Array {
  const table = new Int32Array(CODE_PLACES)
  for (const code of codes) table[placeOf(code, table)] = code
  return table
}

/** Where a code stands, or the empty place where it would. */
function placeOf (code: number, table: Int32Array): number {
  let place = (code ^ (code >>> 11)) & (CODE_PLACES - 1)
  while (table[place] !== 0 && table[place] !== code) place = (place + 1) & (CODE_PLACES - 1)
  return place
}

function nameCode (name: string): number {
  return (name.length << 16) | ((name.charCodeAt(0) | 32) << 8) | (name.charCodeAt(name.length - 1) | 32)
}

const AGENT_CODE = nameCode('user-agent')
const AUTHORIZATION_CODE = nameCode('authorization')
const KEY_CODE = nameCode('x-api-key')
const LANGUAGE_CODE = nameCode('accept-language')
const ENCODING_CODE = nameCode('accept-encoding')
const HEADERS_MAX = 64

function readHeaders (
  headers: string[]
): { agent: number, fingerprint: number, headers: number, credential: number, led: boolean } {
  let agent = 0
  let led = false
  let credential = 0
  let print = 0x811c9dc5
  const end = Math.min(headers.length - 1, HEADERS_MAX * 2)
  for (let i = 0; i < end; i += 2) {
    const code = nameCode(headers[i] as string)
    if (code === AUTHORIZATION_CODE || code === KEY_CODE) credential = hashText(headers[i + 1] as string, 5, 512)
    if (PASSING_NAMES[placeOf(code, PASSING_NAMES)] === code) {
      led ||= LEADING_NAMES[placeOf(code, LEADING_NAMES)] === code
      continue
    }
    print = Math.imul(print ^ code, PRIME)
    if (code === AGENT_CODE) agent = hashText(headers[i + 1] as string, 7, 256)
    else if (code === LANGUAGE_CODE || code === ENCODING_CODE) print ^= hashText(headers[i + 1] as string, 11, 64)
  }
  const plain = finish(print)
  return { agent, credential, led, headers: plain, fingerprint: mixHash(plain, agent) }
}
