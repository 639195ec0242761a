import { sequence } from '../../std/regex.ts'
import { wordSet } from '../../std/words.ts'
import { classifyAgent } from '../signs/agents.ts'
import { matchTokenHead } from '../signs/bearer-token.ts'
import { addSign, resultOf } from '../evidence.ts'
import { addPartHeadSigns } from '../signs/part-heads.ts'
import { headerOf } from '../request-view.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult } from '../shapes.ts'

/**
 * Headers: what breaks the framing of HTTP is strong (two lengths, a length and chunks, a transfer coding nobody knows:
 * RFC 9112 6.1-6.3, and what http-garden and CRS call smuggling), what contradicts the claimed client is weak. Real old
 * browsers, apps and proxies do odd things, so everything soft together stays under SOFT_MAX: a scorer that judges by
 * header names alone is no better than chance on current traffic.
 */
export function measureHeaders (view: RequestView, policy: Policy, body: Uint8Array | null = null): FactorResult {
  const signs: Signs = { found: null }
  addFramingSigns(view, signs)
  addHeaderNameSigns(view, signs)
  addContentTypeSigns(view, body, signs)
  addRangeSigns(view, signs)
  addBrowserClaimSigns(view, signs)
  return resultOf('headers', signs, policy.ceilings.headers)
}

const SOFT_MAX = 0.3
/** Headers of which a request has one; a second one is how two readers are made to disagree. */
const SINGLE = new Set(['host', 'content-length', 'content-type', 'transfer-encoding', 'user-agent', 'authorization'])

function addFramingSigns (view: RequestView, signs: Signs): void {
  const { names } = view
  const length = names.indexOf('content-length')
  const coding = names.indexOf('transfer-encoding')
  if (length !== -1 && coding !== -1) {
    addSign(
      signs,
      0.82,
      'headers.two-framings',
      'header.transfer-encoding',
      'a length and chunks at once',
      'T1190'
    )
  }
  if (length !== -1 && !/^\d{1,15}$/.test(view.values[length] as string)) {
    addSign(signs, 0.8, 'headers.length', 'header.content-length', 'a length that is no number', 'T1190')
  }
  if (coding !== -1 && !/^(?:(?:gzip|deflate|compress), ?)?chunked$/i.test(view.values[coding] as string)) {
    addSign(
      signs,
      0.8,
      'headers.coding',
      'header.transfer-encoding',
      'a transfer coding that nobody knows',
      'T1190'
    )
  }
}

type NameKind = 'plain' | 'single' | 'steering' | 'odd'

/** Names repeat from request to request: sorted once each, at most NAMES_MAX remembered. */
const NAMES_MAX = 512
const sortedNames = new Map<string, NameKind>()

function kindOfName (name: string): NameKind {
  const known = sortedNames.get(name)
  if (known !== undefined) return known
  const kind: NameKind = SINGLE.has(name) ? 'single' : STEERING.has(name) ? 'steering' : isToken(name) ? 'plain' : 'odd'
  if (sortedNames.size < NAMES_MAX && name.length < 48) sortedNames.set(name, kind)
  return kind
}

function addRepeatSigns (view: RequestView, name: string, at: number, signs: Signs): void {
  const same = view.values[at] === view.values[view.names.indexOf(name)]
  const framing = name === 'content-length' || name === 'transfer-encoding' || name === 'host'
  addSign(
    signs,
    framing ? (same ? 0.6 : 0.85) : same ? 0.1 : 0.3,
    'headers.repeated',
    `header.${name}`,
    `${name} twice${same ? '' : ', with different values'}`,
    'T1190'
  )
}

/** RFC 9110 5.6.2; names of HTTP/2 pseudo headers are not expected here. */
function isToken (name: string): boolean {
  if (name.length === 0) return false
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (
      code <= 32 || code >= 127 || code === 58 || code === 44 || code === 59 || code === 61 || code === 40 ||
      code === 41 || code === 34 || code === 47 || code === 92 || code === 91 || code === 93 ||
      code === 123 || code === 125
    ) {
      return false
    }
  }
  return true
}

/** Names that steer somebody behind us, or that only exploits still send. */
const STEERING = new Map<string, { value: number, text: string }>([
  ['proxy', { value: 0.8, text: 'Proxy, which CGI takes for HTTP_PROXY (httpoxy)' }],
  ['request-range', { value: 0.76, text: 'Request-Range, which only an old denial of service sends (CVE-2011-3192)' }],
  ['x-original-url', { value: 0.45, text: 'X-Original-URL, which some frameworks route by' }],
  ['x-rewrite-url', { value: 0.45, text: 'X-Rewrite-URL, which some frameworks route by' }],
  ['x-middleware-subrequest', {
    value: 0.8,
    text: 'x-middleware-subrequest, which skips authorisation in Next.js (CVE-2025-29927)'
  }],
  ['lock-token', { value: 0.3, text: 'a WebDAV header' }],
  ['if', { value: 0.3, text: 'a WebDAV header' }],
  ['content-range', { value: 0.2, text: 'a range of an answer in a request' }],
  ['content_length', { value: 0.8, text: 'a length with an underscore, which some servers take for the real one' }],
  ['transfer_encoding', {
    value: 0.8,
    text: 'a transfer coding with an underscore, which some servers take for the real one'
  }]
])
/**
 * Where these headers mean something: locks of WebDAV, uploads in pieces. Elsewhere they are a probe for
 * CVE-2017-7269 and its like.
 */
const LOCKED = /^(?:put|delete|patch|lock|unlock|propfind|proppatch|mkcol|copy|move)$/i
const OUT_OF_PLACE = 0.76

/** Controls other than a tab; the parser of a live server lets none through, an assessment of others' requests may. */
const CONTROL = /[\x00-\x08\x0a-\x1f]/

function addHeaderNameSigns (view: RequestView, signs: Signs): void {
  const { names, values } = view
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    const kind = kindOfName(name)
    if (kind !== 'plain') addNameSigns(view, kind, i, signs)
    if (CONTROL.test(values[i] as string)) {
      addSign(signs, 0.82, 'headers.control', 'headers', 'a control character in a value', 'T1190')
    }
  }
}

function addNameSigns (view: RequestView, kind: NameKind, at: number, signs: Signs): void {
  const name = view.names[at] as string
  if (kind === 'single' && view.names.indexOf(name) !== at) addRepeatSigns(view, name, at, signs)
  if (kind === 'odd') {
    addSign(
      signs,
      0.6,
      'headers.name',
      'headers',
      'a header name with a character that names cannot have',
      'T1190'
    )
  }
  const steering = kind === 'steering' ? STEERING.get(name) : undefined
  if (steering === undefined) return
  const misplaced = name === 'content-range'
    ? !/^(?:put|post|patch)$/i.test(view.method)
    : (name === 'if' || name === 'lock-token') && !LOCKED.test(view.method)
  addSign(
    signs,
    misplaced ? OUT_OF_PLACE : steering.value,
    'headers.steering',
    `header.${name}`,
    steering.text,
    'T1190'
  )
}

const CHARSETS = wordSet(`
  utf-8 utf8 us-ascii ascii iso-8859-1 iso-8859-2 iso-8859-9 iso-8859-15 latin1 windows-1250 windows-1251
  windows-1252 windows-1254 cp1252 koi8-r gbk gb2312 gb18030 big5 shift_jis euc-jp euc-kr iso-2022-jp utf-16
`)

/**
 * A type that a parser behind us may read otherwise than we do: two charsets, odd ones, a type hidden in a
 * boundary.
 */
function addContentTypeSigns (view: RequestView, body: Uint8Array | null, signs: Signs): void {
  const raw = headerOf(view, 'content-type')
  if (raw === null || raw === '' || PLAIN_TYPES.has(raw)) return
  const type = raw.toLowerCase()
  if (body !== null && type.startsWith('multipart/')) addPartHeadSigns(body, signs)
  if (/%\{|\$\{|#\w+=/.test(type)) {
    addSign(
      signs,
      0.88,
      'headers.content-type-code',
      'header.content-type',
      'an expression in the content type',
      'T1190'
    )
  }
  const charsets = type.match(/charset\s*=\s*"?[\w.:-]*/g) ?? []
  if (charsets.length > 1) {
    addSign(signs, 0.8, 'headers.charsets', 'header.content-type', 'more than one charset', 'T1027')
  } else if (
    charsets.length === 1 && !CHARSETS.has((charsets[0] as string).replace(/^charset\s*=\s*"?/, ''))
  ) {
    addSign(signs, 0.76, 'headers.charset', 'header.content-type', 'a charset that no client uses', 'T1027')
  }
  if (/^(?!multipart\/).*;\s*boundary\s*=/.test(type)) {
    addSign(
      signs,
      0.76,
      'headers.boundary',
      'header.content-type',
      'a boundary where there are no parts',
      'T1027'
    )
  }
  if (/^multipart\//.test(type)) addMultipartSigns(type, signs)
  else if (/;\s*[\w-]+\s*(?:;|$)/.test(type)) {
    addSign(
      signs,
      0.76,
      'headers.type-parameter',
      'header.content-type',
      'a parameter without a value',
      'T1027'
    )
  }
  if (!/^[\w.+*-]+\/[\w.+*-]+\s*(?:;|$)/.test(type)) {
    addSign(signs, 0.76, 'headers.content-type', 'header.content-type', 'a content type that is none')
  }
}

/** RFC 2046 and the registry: what is no known kind of parts is read as one by some and as text by others. */
const MULTIPARTS = sequence([
  /^multipart\//,
  [
    /form-data|mixed|related|alternative|byteranges|digest|parallel|signed|encrypted|report|x-mixed-replace/,
    /batch/
  ],
  /\s*(?:;|$)/
])

/** Programs that set the type of a form by hand forget the boundary. */
function addMultipartSigns (type: string, signs: Signs): void {
  if (!MULTIPARTS.test(type)) {
    addSign(
      signs,
      0.76,
      'headers.multipart',
      'header.content-type',
      'parts of a kind that does not exist',
      'T1027'
    )
  } else if (!/boundary\s*=/.test(type)) {
    addSign(
      signs,
      type.startsWith('multipart/form-data') ? 0.4 : 0.76,
      'headers.no-boundary',
      'header.content-type',
      'parts without a boundary'
    )
  }
}

const PLAIN_TYPES = new Set([
  'application/json',
  'application/x-www-form-urlencoded',
  'application/json; charset=utf-8',
  'application/json;charset=UTF-8',
  'application/json; charset=UTF-8',
  'application/graphql',
  'text/plain;charset=UTF-8'
])

function addRangeSigns (view: RequestView, signs: Signs): void {
  const range = headerOf(view, 'range')
  if (range === null) return
  const ranges = range.split(',', RANGES_MAX)
  // Readers of PDF ask for many pieces of one file, in order and apart.
  const many = ranges.length > 5 && !/\.pdf$/i.test(view.path)
  if (many || ranges.length > 15) {
    addSign(
      signs,
      ranges.length > 15 ? 0.8 : 0.76,
      'headers.ranges',
      'header.range',
      `${ranges.length} ranges in one request`,
      'T1499'
    )
  } else if (overlaps(ranges)) {
    addSign(signs, 0.76, 'headers.ranges', 'header.range', 'ranges that overlap or run backwards', 'T1499')
  }
}

const RANGES_MAX = 64

/**
 * True when a range ends before it starts, or starts within the one before it (RFC 9110 14.2 lets servers
 * refuse both).
 */
function overlaps (ranges: string[]): boolean {
  let last = -1
  for (const one of ranges) {
    const match = /(?<=(\d{1,15}))-(\d{0,15})\s*$/.exec(one)
    if (match === null) continue
    const [from, to] = [Number(match[1]), match[2] === '' ? Infinity : Number(match[2])]
    if (to < from || (ranges.length > 1 && from <= last)) return true
    last = to
  }
  return false
}

/**
 * Headers that the claimed browser would send. Chromium 89 and later sends sec-ch-ua on secure origins, every browser
 * a language.
 */
function addBrowserClaimSigns (view: RequestView, signs: Signs): void {
  const agent = view.agent
  if (headerOf(view, 'host') === null) addSign(signs, 0.2, 'headers.host', 'headers', 'no host')
  addHandmadeSigns(view, signs)
  if (agent === null || classifyAgent(agent).kind !== 'browser') return
  const soft: Signs = { found: null }
  const brands = headerOf(view, 'sec-ch-ua')
  const chrome = /Chrome\/(\d{1,4})\./.exec(agent)
  if (brands !== null) addClientHintSigns(view, agent, brands, chrome, soft)
  if (headerOf(view, 'accept-language') === null && headerOf(view, 'accept-encoding') === null) {
    addSign(soft, 0.06, 'headers.sparse', 'headers', 'a browser without languages and encodings')
  }
  if (
    chrome !== null && Number(chrome[1]) >= 89 && brands === null && headerOf(view, 'sec-fetch-mode') === null
  ) {
    addSign(soft, 0.05, 'headers.no-hints', 'headers', `Chrome ${chrome[1]} without its client hints`)
  }
  const result = resultOf('headers', soft, SOFT_MAX)
  if (result.value > 0) {
    addSign(
      signs,
      result.value,
      (result.evidence[0] as { rule: string }).rule,
      'headers',
      result.evidence.map((one) => one.text).join('; '),
      'T1036'
    )
  }
}

/**
 * Connections that close and stay, lists of codings that are none, an address for a host: small signs of
 * hand-made requests.
 */
function addHandmadeSigns (view: RequestView, signs: Signs): void {
  const connection = headerOf(view, 'connection')
  if (
    connection !== null && connection.includes(',') &&
    /^(?:close|keep-alive) ?, ?(?:close|keep-alive)/i.test(connection)
  ) {
    addSign(
      signs,
      /close/i.test(connection) && /keep-alive/i.test(connection) ? 0.76 : 0.6,
      'headers.connection',
      'header.connection',
      'a connection that is told twice'
    )
  }
  const encoding = headerOf(view, 'accept-encoding')
  if (encoding !== null && encoding.length > 80) {
    addSign(
      signs,
      /[\w*]{20}/.test(encoding) ? 0.78 : 0.6,
      'headers.accept-encoding',
      'header.accept-encoding',
      'codings that no client names'
    )
  }
  const accept = headerOf(view, 'accept')
  if (accept === '') addSign(signs, 0.12, 'headers.accept', 'header.accept', 'an empty Accept')
  else if (accept !== null && /charset/i.test(accept)) {
    addSign(
      signs,
      /charset\s*=\s*["']?(?!utf-?8|iso-8859-1\b)/i.test(accept) ? 0.76 : /iso/i.test(accept) ? 0.5 : 0.1,
      'headers.accept',
      'header.accept',
      'a charset in Accept',
      'T1027'
    )
  }
  const expect = headerOf(view, 'expect')
  if (expect !== null && !/^100-continue$/i.test(expect.trim())) {
    addSign(signs, 0.78, 'headers.expect', 'header.expect', 'an expectation that does not exist', 'T1190')
  }
  const authorization = headerOf(view, 'authorization')
  const token = authorization === null ? null : matchTokenHead(authorization)
  if (token !== null) addSign(signs, token.value, 'headers.token-head', 'header.authorization', token.text, 'T1550.001')
  const cookie = headerOf(view, 'cookie')
  if (cookie !== null && cookie.startsWith('$Version')) {
    addSign(
      signs,
      /="[^";]*;[^"]*"/.test(cookie) ? 0.78 : 0.3,
      'headers.old-cookies',
      'header.cookie',
      'cookies as of RFC 2965, in quotes that swallow others',
      'T1539'
    )
  }
  const host = headerOf(view, 'host')
  if (host !== null && !/^(?:\[[\da-f:.]+\]|[\w.-]+|[\u0080-\uffff\w.-]+)(?::\d{1,5})?$/i.test(host)) {
    addSign(signs, 0.78, 'headers.host-form', 'header.host', 'a host that is no name and no address', 'T1190')
  } else if (host !== null && /^\[|^\d{1,3}(?:\.\d{1,3}){3}(?::|$)/.test(host)) {
    addSign(signs, 0.06, 'headers.host-address', 'header.host', 'an address for a host')
  }
  if (view.bodyBytes > 0 && headerOf(view, 'content-type') === null) {
    addSign(signs, 0.12, 'headers.no-type', 'headers', 'a body without a type')
  }
}

/** `Version/17.4 Safari/605.1`: the version stands before the name. */
function isSafari (agent: string): boolean {
  const version = agent.search(/Version\/[\d.]/)
  return version !== -1 && agent.includes('Safari/', version)
}

function addClientHintSigns (
  view: RequestView,
  agent: string,
  brands: string,
  chrome: RegExpExecArray | null,
  soft: Signs
): void {
  if (chrome === null && (agent.includes('Firefox/') || isSafari(agent))) {
    addSign(
      soft,
      0.2,
      'headers.hints-of-another',
      'header.sec-ch-ua',
      'client hints that this browser does not send'
    )
  }
  const claimed = /"Chromium";v="(\d{1,4})/.exec(brands)
  if (chrome !== null && claimed !== null && claimed[1] !== chrome[1]) {
    addSign(
      soft,
      0.2,
      'headers.hints-version',
      'header.sec-ch-ua',
      `hints say ${claimed[1]}, the agent ${chrome[1]}`
    )
  }
  const platform = headerOf(view, 'sec-ch-ua-platform')
  if (platform !== null && !fitsPlatform(platform, agent)) {
    addSign(
      soft,
      0.2,
      'headers.hints-platform',
      'header.sec-ch-ua-platform',
      'hints name another system than the agent'
    )
  }
}

function fitsPlatform (platform: string, agent: string): boolean {
  if (platform.includes('Windows')) return agent.includes('Windows')
  if (platform.includes('macOS')) return agent.includes('Mac')
  if (platform.includes('Android')) return agent.includes('Android') || agent.includes('X11')
  if (platform.includes('Linux')) return agent.includes('Linux')
  return true
}
