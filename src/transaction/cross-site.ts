import type { Transaction } from './transaction.ts'

/**
 * Which requests a page of another site could have made a visitor's browser send without our leave: an image, a form, a
 * frame, a `fetch` without preflight, the preflight itself, the handshake of a WebSocket. Whoever sits at that browser
 * asked for none of it, so what comes of it is held against nobody (cross-site-turns.ts).
 *
 * Pure. Programs may claim all of it, and gain little; what a page could not have sent is judged as if it claimed
 * nothing. Sources: Fetch standard (CORS-safelisted headers, forbidden methods), W3C Fetch Metadata.
 */
interface CrossSiteOptions {
  /** CORS_ORIGIN: pages that have our leave. */
  corsOrigins: readonly string[]
  /** The request may have come over plain HTTP, where browsers send no Sec-Fetch: Origin and Referer speak then. */
  mayBePlain: boolean
}

type Asked = Pick<Transaction, 'method' | 'headers'>
/** Names in lower case. */
type Headers = ReadonlyMap<string, string>

export function isCrossSite (asked: Asked, { corsOrigins, mayBePlain }: CrossSiteOptions): boolean {
  if (!showsOrigin(asked.headers)) return false
  const headers = readBrowserHeaders(asked)
  if (headers === null) return false
  const origin = headers.get('origin')
  if (origin !== undefined && corsOrigins.includes(origin)) return false
  if (headers.has('upgrade')) return isForeignHandshake(asked.method, headers)
  const site = headers.get('sec-fetch-site')
  if (site !== undefined) return SITES.has(site) && isSimple(asked.method, headers) && hasFitting(asked.method, headers)
  // The preflight of a report says nothing else, over TLS either.
  const saysNone = asked.method === 'OPTIONS' || (mayBePlain && !cameOverTls(headers))
  return saysNone && isSimple(asked.method, headers) && isForeign(headers)
}

/**
 * The name under which the requests of a caller are counted: those of other sites' pages apart from its own.
 * The client stands last, where its networks are looked for (limits/nets.ts).
 */
export function countedAs ({ client, crossSite }: Pick<Transaction, 'client' | 'crossSite'>): string {
  return crossSite ? `cross-site ${client}` : client
}

/** Most requests are of programs or of our own pages, and need no closer look. */
function showsOrigin (headers: readonly string[]): boolean {
  let isShown = false
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length === 14 && name.toLowerCase() === 'sec-fetch-site') return SITES.has(headers[i + 1] as string)
    isShown ||= (name.length === 6 && name.toLowerCase() === 'origin') ||
      (name.length === 7 && name.toLowerCase() === 'referer')
  }
  return isShown
}

const SITES: ReadonlySet<string> = new Set(['cross-site', 'same-site'])

/** Browsers send some 20, proxies add some. */
const HEADERS_MAX = 64

/**
 * Null where one is such as only a program sends, or stands there twice. Names that nobody knows are taken: browsers
 * get new ones, pages choose some of them (`<iframe csp>`), and whoever stands before us adds its own. A program could
 * leave its own ones out; what it gains by this is that its refused requests are ten and make no standing block.
 */
function readBrowserHeaders ({ method, headers }: Asked): Headers | null {
  if (headers.length > HEADERS_MAX * 2) return null
  const read = new Map<string, string>()
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    if (OF_PROGRAMS.test(name) || (method !== 'OPTIONS' && name.startsWith('access-control-request-'))) return null
    if (read.has(name) && OF_BROWSERS.test(name)) return null
    read.set(name, headers[i + 1] as string)
  }
  return isPackage(read.get('x-requested-with')) ? read : null
}

/** Set by scripts that have our leave, and by programs. */
const OF_PROGRAMS = new RegExp(`^(?:${[
  'apollo-require-preflight|authorization|content-encoding|if-match|next-action|x-api-key|x-(?:csrf|xsrf)-token',
  'x-http-method(?:-override)?|x-method-override|x-neko-.*'
].join('|')})$`)

/** Set by browsers, once. */
const OF_BROWSERS = new RegExp(`^(?:${[
  'accept|accept-(?:encoding|language)|content-(?:language|length|type)|host|last-event-id|origin|ping-(?:from|to)',
  'range|referer|sec-.*|transfer-encoding|upgrade|user-agent|x-requested-with'
].join('|')})$`)

/** Web views of Android name their application, `com.example.app`; scripts say XMLHttpRequest. */
function isPackage (requestedWith: string | undefined): boolean {
  return requestedWith === undefined || (requestedWith.length <= 128 && /^[a-z]\w*(?:\.\w+)+$/i.test(requestedWith))
}

/** A method, a body and a content type that need no leave. */
function isSimple (method: string, headers: Headers): boolean {
  const type = headers.get('content-type')
  if (type !== undefined && !isSafelisted(type) && !isReport(type, headers)) return false
  if (method === 'POST') return true
  const hasBody = headers.has('transfer-encoding') || (headers.get('content-length') ?? '0') !== '0'
  if (hasBody) return false
  if (method === 'OPTIONS') return headers.has('origin') && headers.has('access-control-request-method')
  return method === 'GET' || method === 'HEAD'
}

const SAFELISTED: ReadonlySet<string> = new Set([
  'application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain'
])
const TYPE_CHARACTERS_MAX = 128

function isSafelisted (type: string): boolean {
  if (type.length > TYPE_CHARACTERS_MAX || UNSAFE_BYTES.test(type)) return false
  return SAFELISTED.has((type.split(';', 1)[0] as string).trim().toLowerCase())
}

/** CORS-unsafe request-header bytes. */
const UNSAFE_BYTES = /[\x00-\x08\x0a-\x1f"():<>?@[\\\]{}\x7f]/

/** `<a ping>` and reports of a content security policy are posted without asking, under types of their own. */
function isReport (type: string, headers: Headers): boolean {
  return headers.has('ping-to') ? type === 'text/ping' : type === 'application/csp-report'
}

/** Sec-Fetch-Mode to the destinations that go with it. */
const DESTINATIONS: Readonly<Record<string, ReadonlySet<string>>> = {
  navigate: new Set(['document', 'embed', 'fencedframe', 'frame', 'iframe', 'object']),
  'no-cors': new Set([
    'audio', 'embed', 'empty', 'font', 'image', 'object', 'report', 'script', 'style', 'track', 'video', 'webidentity'
  ]),
  cors: new Set([
    'audio', 'audioworklet', 'dictionary', 'empty', 'font', 'image', 'json', 'manifest', 'paintworklet', 'report',
    'script', 'speculationrules', 'style', 'track', 'video', 'webidentity', 'xslt'
  ])
}
/** Of workers, which are never of another site, and of all others that are known. */
const KNOWN: ReadonlySet<string> = new Set([
  ...Object.values(DESTINATIONS).flatMap((all) => [...all]), 'serviceworker', 'sharedworker', 'worker', 'websocket'
])
/** New kinds come with new browsers. */
const UNKNOWN = /^[a-z][a-z0-9-]{0,40}$/
/** What may post: forms, `fetch`, beacons, pings and reports. */
const POSTING: ReadonlySet<string> = new Set([...DESTINATIONS['navigate']!, 'empty', 'report'])

/** Mode, destination, method and user activation are such as a browser sends together. */
function hasFitting (method: string, headers: Headers): boolean {
  const mode = headers.get('sec-fetch-mode') ?? ''
  const destination = headers.get('sec-fetch-dest') ?? ''
  const isUnknown = !KNOWN.has(destination) && UNKNOWN.test(destination)
  if (!Object.hasOwn(DESTINATIONS, mode) || !(isUnknown || DESTINATIONS[mode]!.has(destination))) return false
  const user = headers.get('sec-fetch-user')
  if (user !== undefined && (user !== '?1' || mode !== 'navigate')) return false
  if (method === 'POST') return isUnknown || POSTING.has(destination)
  if (method === 'HEAD') return isUnknown || destination === 'empty'
  return method === 'GET' || mode === 'cors'
}

/** Browsers name the origin of every handshake, and most say nothing else of it. */
function isForeignHandshake (method: string, headers: Headers): boolean {
  const site = headers.get('sec-fetch-site') ?? 'cross-site'
  const mode = headers.get('sec-fetch-mode') ?? 'websocket'
  if (method !== 'GET' || !SITES.has(site) || mode !== 'websocket') return false
  return headers.get('upgrade')!.toLowerCase() === 'websocket' && headers.has('sec-websocket-key') &&
    headers.has('origin') && isForeign(headers)
}

/** As proxies tell it. Who only says so is judged like a program. */
function cameOverTls (headers: Headers): boolean {
  return headers.get('x-forwarded-proto')?.trim().toLowerCase() === 'https' ||
    /(?:^|[;,\s])proto="?https/i.test((headers.get('forwarded') ?? '').slice(0, 1000))
}

/** The page, by Origin or else by Referer, is of another host. */
function isForeign (headers: Headers): boolean {
  const own = hostOf(`http://${headers.get('host') ?? ''}`)
  const page = headers.get('origin') ?? headers.get('referer') ?? ''
  if (own === null) return false
  if (page === 'null') return true
  const host = hostOf(page)
  return host !== null && host !== own
}

/** With its port, unless that is the scheme's own. */
function hostOf (url: string): string | null {
  const { host = '' } = URL.parse(url) ?? {}
  return host === '' ? null : host
}
