/** Requests as browsers send them for pages of other sites, and as programs do that only claim to be such a page. */
export interface Sent { what: string, method: string, headers: string[] }

export const HOST = 'neko.example'
const PAGE = 'https://evil.example'
const AGENTS = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36',
  'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'
]

/** Every second one lower-case, as behind HTTP/2. */
export function headersOf (i: number, more: Record<string, string>): string[] {
  const all = { host: HOST, 'user-agent': AGENTS[i % AGENTS.length]!, accept: '*/*', 'accept-language': 'de-CH,de;q=0.9,en;q=0.8', 'accept-encoding': 'gzip, deflate, br, zstd', ...more }
  return Object.entries(all).flatMap(([name, value]) => [i % 2 === 0 ? name : name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()), value])
}

type Fetch = [what: string, method: string, mode: string, destination: string, more?: Record<string, string>]

const FORM = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': '3', origin: PAGE }
const FETCHES: Fetch[] = [
  ['an image', 'GET', 'no-cors', 'image'],
  ['an image that asks for CORS', 'GET', 'cors', 'image', { origin: PAGE }],
  ['a script', 'GET', 'no-cors', 'script'],
  ['a module', 'GET', 'cors', 'script', { origin: PAGE }],
  ['a style sheet', 'GET', 'no-cors', 'style'],
  ['a font', 'GET', 'cors', 'font', { origin: PAGE }],
  ['a film', 'GET', 'no-cors', 'video', { range: 'bytes=0-' }],
  ['a sound', 'GET', 'no-cors', 'audio', { range: 'bytes=0-', 'if-range': '"a"' }],
  ['captions', 'GET', 'cors', 'track', { origin: PAGE }],
  ['fetch without leave', 'GET', 'no-cors', 'empty'],
  ['fetch for CORS', 'GET', 'cors', 'empty', { origin: PAGE }],
  ['fetch of a head', 'HEAD', 'no-cors', 'empty'],
  ['fetch that posts a text', 'POST', 'cors', 'empty', { 'content-type': 'text/plain;charset=UTF-8', 'content-length': '3', origin: PAGE }],
  ['a beacon', 'POST', 'no-cors', 'empty', { 'content-type': 'text/plain;charset=UTF-8', 'content-length': '9', origin: PAGE }],
  ['a beacon of no type', 'POST', 'no-cors', 'empty', { 'content-length': '0', origin: PAGE }],
  ['a ping', 'POST', 'no-cors', 'empty', { 'content-type': 'text/ping', 'content-length': '4', 'ping-from': `${PAGE}/a`, 'ping-to': 'https://neko.example/', origin: 'null' }],
  ['a report of a policy', 'POST', 'no-cors', 'report', { 'content-type': 'application/csp-report', 'content-length': '90', origin: 'null' }],
  ['a stream of events', 'GET', 'cors', 'empty', { accept: 'text/event-stream', 'cache-control': 'no-cache', 'last-event-id': '7', origin: PAGE }],
  ['a link that was clicked', 'GET', 'navigate', 'document', { 'sec-fetch-user': '?1', 'upgrade-insecure-requests': '1' }],
  ['a link that was fetched ahead', 'GET', 'navigate', 'document', { 'sec-purpose': 'prefetch;prerender', purpose: 'prefetch' }],
  ['a frame', 'GET', 'navigate', 'iframe', { 'upgrade-insecure-requests': '1' }],
  ['a frame with a policy for it', 'GET', 'navigate', 'iframe', { 'sec-required-csp': "default-src 'self'", 'sec-required-document-policy': 'oversized-images=2' }],
  ['a link that was fetched ahead by a rule', 'GET', 'navigate', 'document', { 'sec-purpose': 'prefetch', 'sec-speculation-tags': '"x"' }],
  ['fetch with a private token', 'POST', 'cors', 'empty', { 'sec-private-state-token': 'a', 'sec-private-state-token-crypto-version': 'b', 'content-length': '0', origin: PAGE }],
  ['a worklet of shared storage', 'GET', 'cors', 'sharedstorageworklet', { origin: PAGE }],
  ['a module of text', 'GET', 'cors', 'text', { origin: PAGE }],
  ['a kind of tomorrow', 'GET', 'no-cors', 'model-3d', { 'sec-tomorrow': '?1', 'tomorrow-hint': 'a' }],
  ['an object', 'GET', 'navigate', 'object'],
  ['an embed', 'GET', 'no-cors', 'embed'],
  ['a form', 'POST', 'navigate', 'document', { ...FORM, 'sec-fetch-user': '?1' }],
  ['a form into a frame', 'POST', 'navigate', 'iframe', { ...FORM, 'cache-control': 'max-age=0' }],
  ['a form with a file', 'POST', 'navigate', 'document', { ...FORM, 'content-type': 'multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW' }],
  ['a preflight of a report', 'OPTIONS', 'cors', 'report', { origin: PAGE, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' }],
  ['a preflight of a module', 'OPTIONS', 'cors', 'script', { origin: PAGE, 'access-control-request-method': 'GET' }],
  ['a preflight', 'OPTIONS', 'cors', 'empty', { origin: PAGE, 'access-control-request-method': 'DELETE', 'access-control-request-headers': 'x-foo' }]
]

/** Whatever a browser, its user or a proxy adds to any of them. */
const ADDITIONS: Array<Record<string, string>> = [
  {},
  { cookie: 'a=b; c=d', dnt: '1', 'sec-gpc': '1' },
  { 'sec-ch-ua': '"Chromium";v="144"', 'sec-ch-ua-mobile': '?0', 'sec-ch-ua-platform': '"Windows"', priority: 'i' },
  { connection: 'keep-alive', te: 'trailers', 'if-none-match': 'W/"1"', 'if-modified-since': 'Mon, 30 Nov 2026 00:00:00 GMT' },
  { pragma: 'no-cache', 'save-data': 'on', 'device-memory': '8', rtt: '50', downlink: '10', ect: '4g' },
  { 'x-forwarded-for': '198.51.100.7', 'x-forwarded-proto': 'https', 'x-real-ip': '198.51.100.7', 'x-request-id': 'a1', via: '1.1 edge', forwarded: 'for=198.51.100.7;proto=https' },
  { 'cf-ray': '8f', 'cf-connecting-ip': '198.51.100.7', 'cf-ipcountry': 'CH', 'cdn-loop': 'cloudflare', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  { 'x-country-code': 'CH', 'do-connecting-ip': '198.51.100.7', 'rndr-id': 'a', 'x-nf-client-connection-ip': '198.51.100.7', 'x-kong-request-id': 'a', 'x-appengine-country': 'CH', 'client-ip': '198.51.100.7', 'disguised-host': 'a', 'incap-client-ip': '198.51.100.7' },
  { 'max-forwards': '10', 'early-data': '1', 'x-unique-id': 'a', 'x-original-url': '/a', 'x-rewrite-url': '/a', 'ssl-client-verify': 'NONE', 'x-bluecoat-via': 'a', expect: '100-continue', 'proxy-connection': 'keep-alive', 'x-of-a-house': 'a', __proto__x: '1', constructor: 'a' },
  { 'x-requested-with': 'com.example.browser' }
]

/** With Sec-Fetch, from another site and from a sister of ours, with each addition. */
export function browserRequests (): Sent[] {
  return FETCHES.flatMap(([what, method, mode, destination, more], i) => ['cross-site', 'same-site'].flatMap((site) => ADDITIONS.map((added, j) =>
    ({ what: `${what}, ${site}, with ${Object.keys(added).join(' ')}`, method, headers: headersOf(i + j, { referer: `${PAGE}/`, 'sec-fetch-site': site, 'sec-fetch-mode': mode, 'sec-fetch-dest': destination, ...more, ...added }) }))))
}

/** Sent by the reporting of browsers, which says nothing else of itself over TLS either. */
export const reportPreflight = (): Sent => ({ what: 'the preflight of a report, over TLS', method: 'OPTIONS', headers: headersOf(0, { origin: PAGE, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type', 'x-forwarded-proto': 'https' }) })

/** Over plain HTTP, where browsers send no Sec-Fetch. */
export function plainRequests (): Sent[] {
  const plain: Array<[string, string, Record<string, string>]> = [
    ['a Referer', 'GET', { referer: 'http://evil.example/page?a=b' }],
    ['the Referer of another port', 'GET', { referer: `http://${HOST}:8080/` }],
    ['the Referer of a sister', 'HEAD', { referer: `http://www.${HOST}/` }],
    ['an Origin', 'POST', { ...FORM, origin: 'http://evil.example', referer: 'http://evil.example/' }],
    ['an Origin that hides', 'POST', { ...FORM, origin: 'null' }],
    ['an Origin over TLS', 'GET', { origin: PAGE }],
    ['a preflight', 'OPTIONS', { origin: PAGE, 'access-control-request-method': 'PUT' }]
  ]
  return plain.map(([what, method, more], i) => ({ what, method, headers: headersOf(i, more) }))
}

const HANDSHAKE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13', 'sec-websocket-protocol': 'graphql-transport-ws', pragma: 'no-cache', 'cache-control': 'no-cache' }

export function handshakes (): Sent[] {
  return [
    { what: 'of Chrome', method: 'GET', headers: headersOf(0, { ...HANDSHAKE, origin: PAGE, 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits', 'x-forwarded-proto': 'https' }) },
    { what: 'of Firefox', method: 'GET', headers: headersOf(1, { ...HANDSHAKE, origin: PAGE, connection: 'keep-alive, Upgrade', 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'websocket', 'sec-fetch-site': 'cross-site' }) }
  ]
}

const IMAGE = { referer: `${PAGE}/`, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }
export const image = (i: number, more: Record<string, string> = {}): string[] => headersOf(i, { ...IMAGE, ...more })

/** Programs, and pages of our own or with our leave: none of them is a page of another site. */
export function others (leave: string): Sent[] {
  const claims: Array<[string, string, Record<string, string>]> = [
    ['no claim', 'GET', {}],
    ['the header alone', 'GET', { 'sec-fetch-site': 'cross-site' }],
    ['no destination', 'GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
    ['no mode', 'GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'image' }],
    ['another spelling', 'GET', { ...IMAGE, 'sec-fetch-site': 'Cross-Site' }],
    ['a value of its own', 'GET', { ...IMAGE, 'sec-fetch-site': 'other-site' }],
    ['the address bar', 'GET', { ...IMAGE, 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }],
    ['our own page', 'GET', { ...IMAGE, 'sec-fetch-site': 'same-origin', referer: `https://${HOST}/console/`, origin: `https://${HOST}` }],
    ...(['navigate image', 'navigate empty', 'cors document', 'no-cors document', 'no-cors iframe', 'no-cors worker', 'no-cors manifest', 'cors serviceworker', 'same-origin empty', 'websocket websocket', '__proto__ image', 'constructor empty', 'no-cors Image'] as const).map((both): [string, string, Record<string, string>] => {
      const [mode, destination] = both.split(' ') as [string, string]
      return [both, 'GET', { ...IMAGE, 'sec-fetch-mode': mode, 'sec-fetch-dest': destination }]
    }),
    ['a click on an image', 'GET', { ...IMAGE, 'sec-fetch-user': '?1' }],
    ['a click of another kind', 'GET', { ...IMAGE, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-user': '1' }],
    ['an image that posts', 'POST', { ...IMAGE, 'content-type': 'text/plain', 'content-length': '1' }],
    ['an image with a body', 'GET', { ...IMAGE, 'content-length': '12' }],
    ['an image in chunks', 'GET', { ...IMAGE, 'transfer-encoding': 'chunked' }],
    ['the head of an image', 'HEAD', IMAGE],
    ...['PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'get'].map((method): [string, string, Record<string, string>] => [method, method, { ...IMAGE, 'sec-fetch-dest': 'empty' }]),
    ['OPTIONS without a preflight', 'OPTIONS', { ...IMAGE, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', origin: PAGE }],
    ['a preflight\'s question in a GET', 'GET', { ...IMAGE, 'access-control-request-method': 'PUT' }],
    ['JSON', 'POST', { ...IMAGE, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'content-type': 'application/json', 'content-length': '2', origin: PAGE }],
    ['a form with a charset in quotes', 'POST', { ...IMAGE, 'sec-fetch-dest': 'empty', 'content-type': 'text/plain; charset="a"', 'content-length': '2' }],
    ['a type that is long', 'POST', { ...IMAGE, 'sec-fetch-dest': 'empty', 'content-type': `text/plain; a=${'b'.repeat(120)}`, 'content-length': '2' }],
    ['a report that is none', 'POST', { ...IMAGE, 'sec-fetch-dest': 'empty', 'content-type': 'application/reports+json', 'content-length': '2' }],
    ['a token', 'GET', { ...IMAGE, authorization: 'Bearer a' }],
    ['a key', 'GET', { ...IMAGE, 'x-api-key': 'a' }],
    // What no page may set without our leave, and nobody on the way adds. Names that nobody knows are not among them: to
    // leave them out is free to a program, while to refuse them let pages have their visitors blocked.
    ...['x-requested-with', 'x-csrf-token', 'x-xsrf-token', 'x-http-method-override', 'content-encoding', 'if-match', 'next-action', 'apollo-require-preflight', 'x-neko-signature'].map((name): [string, string, Record<string, string>] =>
      [name, 'GET', { ...IMAGE, ...Object.fromEntries([[name, name === 'x-requested-with' ? 'XMLHttpRequest' : '1']]) }]),
    ['h2c', 'GET', { ...IMAGE, connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c' }],
    ['our leave', 'GET', { ...IMAGE, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', origin: leave }],
    ['our leave over plain HTTP', 'GET', { origin: leave }],
    ['our own page over plain HTTP', 'GET', { referer: `http://${HOST}/a`, origin: `http://${HOST}` }],
    ['our own page by its port', 'GET', { referer: `http://${HOST}:80/a` }],
    ['our own page in capitals', 'GET', { referer: `http://${HOST.toUpperCase()}/a` }],
    ['no Sec-Fetch over TLS', 'GET', { referer: `${PAGE}/`, 'x-forwarded-proto': 'https' }],
    ['no Sec-Fetch over TLS, as RFC 7239 has it', 'GET', { referer: `${PAGE}/`, forwarded: 'for=192.0.2.1; proto="https"' }],
    ['a Referer that is none', 'GET', { referer: 'evil' }],
    ['an Origin that is none', 'GET', { origin: '*' }],
    ['a handshake of our own page', 'GET', { ...HANDSHAKE, origin: `https://${HOST}` }],
    ['a handshake of a program', 'GET', { ...HANDSHAKE, referer: `${PAGE}/` }],
    ['a handshake with our leave', 'GET', { ...HANDSHAKE, origin: leave }],
    ['a handshake without a key', 'GET', { connection: 'Upgrade', upgrade: 'websocket', origin: PAGE }],
    ['a handshake that posts', 'POST', { ...HANDSHAKE, origin: PAGE }]
  ]
  const made = claims.map(([what, method, more], i): Sent => ({ what, method, headers: headersOf(i, more) }))
  const twice = ['sec-fetch-site', 'sec-fetch-mode', 'user-agent', 'referer', 'host', 'accept'].map((name): Sent =>
    ({ what: `${name} twice`, method: 'GET', headers: [...image(0), name, 'no-cors'] }))
  const many: Sent = { what: 'more headers than a browser sends', method: 'GET', headers: [...image(0), ...Array.from({ length: 60 }, () => ['via', '1.1 a']).flat()] }
  return [...made, ...twice, many]
}
