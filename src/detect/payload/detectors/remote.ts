import { anyOf, captured, sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { certain, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'

/**
 * URLs as values: remote inclusion, requests into our own network (SSRF), redirects elsewhere. An ordinary
 * https URL in a parameter is ordinary. Sources: OWASP SSRF cheat sheet, CWE-98, CWE-601, cloud metadata
 * endpoints' documentation.
 */
export function detectRemote (subject: Subject): void {
  const { characters, kind } = subject
  if (
    (characters & (CHAR.colon | CHAR.slash | CHAR.backslash | CHAR.question)) === 0 &&
    !METADATA_ALONE.test(subject.flat)
  ) {
    return
  }
  if (kind === 'agent' || kind === 'referer') return
  const text = subject.flat
  if (METADATA_ALONE.test(text)) return likely(subject, 'ssrf.metadata', 0.8, text)
  addSchemeSigns(subject, text)
  if (/^https?:\/\/[^/]{1,80}[ &#\\][^/]{0,60}@/.test(text)) likely(subject, 'ssrf.userinfo', 0.79, text.slice(0, 60))
  if (PRIVATE_HOST.test(text)) likely(subject, 'ssrf.private-host', 0.76, text)
  if (proxiesToSocket(text)) {
    likely(subject, 'ssrf.socket', 0.82, text.slice(0, 60))
  }
  const host = hostOf(text)
  if (host !== null) addHostSigns(subject, host, text)
  if (kind === 'query' || kind === 'form' || kind === 'path' || kind === 'json' || kind === 'graphql') {
    addRedirectSigns(subject, text)
  }
  if (kind !== 'path' && kind !== 'header' && kind !== 'cookie') addInclusionSigns(subject, text)
  else if (kind === 'path' && /\/(?:https?|ftps?|file|data):\/{1,3}\w/.test(text)) {
    likely(subject, 'rfi.url-in-path', 0.6, text.slice(0, 60))
  }
}

/**
 * `unix:/run/a.sock|http://a`: a proxy that is sent to a socket (CVE-2021-40438), whatever pads the path. Reads on from
 * mark to mark, so that a text of many sockets is read once.
 */
function proxiesToSocket (text: string): boolean {
  let pipe = -1
  let blank = -1
  for (let at = text.indexOf('unix:'); at !== -1; at = text.indexOf('unix:', at + 5)) {
    if (at > 0 && !'/='.includes(text.charAt(at - 1))) continue
    if (pipe < at + 6) pipe = indexFrom(text, PROXIED, at + 6)
    if (blank < at) blank = indexFrom(text, BLANK, at)
    if (pipe < blank) return true
    if (pipe === text.length) return false
  }
  return false
}

const PROXIED = /\|(?:https?|ajp|fcgi|h2c):\/\//g
const BLANK = /\s/g

/** Where the pattern matches next, or the text's length. */
function indexFrom (text: string, pattern: RegExp, from: number): number {
  pattern.lastIndex = from
  return pattern.exec(text)?.index ?? text.length
}

const PRIVATE_HOST = sequence([
  /^/,
  [
    /localhost\w*(?:\.localdomain\w*)?|ip6-loopback|ipv6-localhost|kubernetes\.default\S*/,
    /[\w.-]*\b(?:localtest\.me|lvh\.me|nip\.io)|(?:[\w-]+\.){1,4}internal/
  ],
  /\/$/
])

const WRAPPER = sequence([
  /(?:^|url:|[/=\s"'])/,
  captured([
    sequence([
      [
        /php|phar|zip|zlib|compress\.zlib|compress\.bzip2|glob|expect|ogg|rar|ssh2(?:\.\w+)?|bzip2|data|file/,
        /gopher|dict|ldaps?|tftp|sftp|jar|netdoc|local_file|jndi|rmi|iiop|xri|acap|imap|irc|rtmp|rsync/,
        /view-source|smb|smbs|nntp|pop3|telnet|dns|url|mhtml|res|view|feed|smtp|redis|jdbc/
      ],
      /:/
    ])
  ]),
  /(\/\/|file:|https?:|[\w/]+(?:[,;]|$))/
])
const DANGEROUS = sequence([
  /^/,
  [
    /php|phar|zip|zlib|compress|glob|expect|ogg|rar|ssh2|bzip2|gopher|dict|tftp|jar|netdoc|local_file|jndi/,
    /rmi|iiop|xri|acap|ldap/
  ]
])

function addSchemeSigns (subject: Subject, text: string): void {
  const match = WRAPPER.exec(text)
  if (match === null) return
  const scheme = match[1] as string
  const head = match.index <= 4 || subject.kind === 'path'
  if (/^(?:php|phar|expect|zip|compress|glob|ogg|zlib|ssh2)/.test(scheme) && match[2] === '//') {
    if (
      /php:\/\/(?:filter|input|output|stdin|stdout|temp|memory|fd)|expect:\/\/|phar:\/\//.test(text) && head
    ) {
      return certain(subject, 'rfi.php-wrapper', match[0])
    }
    return likely(subject, 'rfi.stream-wrapper', head ? 0.8 : 0.6, match[0])
  }
  if (scheme === 'file:' && match[2] === '//') return likely(subject, 'lfi.file-url', head ? 0.8 : 0.5, match[0])
  if (scheme === 'url:' && match.index === 0) return likely(subject, 'ssrf.scheme', 0.78, match[0])
  if (DANGEROUS.test(scheme) && head) return likely(subject, 'ssrf.scheme', 0.8, match[0])
  if (scheme === 'data:') {
    if (head && match[2] === '//') return likely(subject, 'rfi.data-url', 0.8, text.slice(0, 40))
    if (
      head && /^data:(?:text\/plain|text\/html|text\/x-php|,|;base64|application\/x-(?:php|httpd))/.test(text)
    ) {
      likely(subject, 'rfi.data-url', 0.77, text.slice(0, 40))
    }
    return
  }
  if (head && !/^(?:url|res|view|feed|dns|redis|jdbc|smtp):/.test(scheme)) {
    likely(subject, 'ssrf.scheme', 0.76, match[0])
  }
}

/** The host of the first URL in the value, with userinfo kept, or null. */
function hostOf (text: string): string | null {
  const match =
    /(?:^|[\s"'(<=/:])(?:[a-z][a-z0-9+._-]{1,15}:(?:\/{1,4}|\\{1,4}))([^\s"'<>/?#]{1,200})/.exec(text) ??
      /^https?:([^\s"'<>/?#]{3,100})/.exec(text)
  return match === null ? null : match[1] as string
}

const PRIVATE = sequence([
  /^/,
  [
    /localhost|ip6-localhost|ipv6-localhost|ip6-loopback|(?:0+\.){0,3}0+|0|127(?:\.\d{1,3}){1,3}/,
    /10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2}/,
    /169\.254(?:\.\d{1,3}){2}|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])(?:\.\d{1,3}){2}|192\.0\.0\.\d{1,3}/,
    /(?:[\w-]+\.){1,4}(?:local|localhost|internal|intranet|lan|corp|home|localdomain|svc)/,
    /kubernetes(?:\.default)?/,
    sequence([
      /[\w.-]*/,
      [
        /nip\.io|sslip\.io|xip\.io|localtest\.me|lvh\.me|vcap\.me|burpcollaborator\.net|oastify\.com/,
        /interact\.sh|oast\.\w+|ngrok\.io|requestbin\.net|dnslog\.cn|webhook\.site|1u\.ms|rbndr\.us/
      ]
    ])
  ],
  /(?::\d+)?$/
])
const METADATA = anyOf([
  sequence([
    /^/,
    [
      /169\.254\.169\.254|metadata(?:\.google\.internal|\.packet\.net|\.oraclecloud\.com|\.azure\.\w+)?/,
      /100\.100\.100\.200|192\.0\.0\.192|169\.254\.170\.2|fd00:ec2::254/
    ],
    /(?::\d+)?$/
  ]),
  /\b169\.254\.169\.254\b/
])
/** A host field that holds nothing but the address. */
const METADATA_ALONE =
  /^(?:169\.254\.169\.254|100\.100\.100\.200|169\.254\.170\.2|fd00:ec2::254|metadata\.google\.internal)(?::\d+)?$/
const ODD_NUMBER = sequence([
  /^/,
  [
    /0x[0-9a-f]{4,}|\d{8,12}|0[0-7]{9,}/,
    /(?:0x[0-9a-f]+|0[0-7]{2,}|\d+)(?:\.(?:0x[0-9a-f]+|0[0-7]{2,}|\d+)){0,3}/
  ],
  /(?::\d+)?$/
])

const CALLBACK_FIELD = /^(?:redirect_?ur[il]s?|callback_?(?:ur[il])?|post_logout_redirect_uri|return_?to|origin)$/
const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{2,5})?$/

function addHostSigns (subject: Subject, raw: string, text: string): void {
  const bare = raw.slice(raw.lastIndexOf('@') + 1).replace(/\.(?=$|:)/, '')
  const whole = /^\W{0,2}(?:url:)?[a-z][\w.+-]{1,15}:/.test(text) || subject.kind === 'path'
  if (METADATA.test(bare)) {
    return whole
      ? certain(subject, 'ssrf.metadata', raw)
      : likely(subject, 'ssrf.metadata', 0.7, raw)
  }
  if (!whole) return
  const numeric = ODD_NUMBER.test(bare)
  if (numeric && !/^\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?$/.test(bare)) return likely(subject, 'ssrf.odd-address', 0.8, raw)
  if (/^(?:0{2,}\d|\d{1,3}\.0\d{2,})/.test(bare)) return likely(subject, 'ssrf.odd-address', 0.8, raw)
  if (bare.startsWith('[')) return likely(subject, 'ssrf.address', 0.79, raw)
  // A program on the user's own machine is called back there (RFC 8252 7.3).
  if (CALLBACK_FIELD.test(subject.field) && LOOPBACK.test(bare)) {
    return weak(subject, 'ssrf.loopback-callback', 0.2, raw)
  }
  if (PRIVATE.test(bare)) return likely(subject, 'ssrf.private-host', 0.77, raw)
  if (numeric) {
    return likely(
      subject,
      'ssrf.address',
      /\.(?:txt|php\d?|phtml|inc|sh|pl|py|exe|jsp|aspx?)\??$/.test(text) ? 0.78 : 0.5,
      raw
    )
  }
  if (raw.includes('@') && /^https?:/.test(text) && /[:#&\\ @]/.test(raw.slice(0, raw.lastIndexOf('@')))) {
    return likely(subject, 'ssrf.userinfo', 0.79, raw)
  }
  if (/[\\^`{}|]/.test(raw)) return likely(subject, 'ssrf.odd-host', 0.77, raw)
  if (/^https?:[^/]/.test(text) && !/^https?:\/\//.test(text)) {
    likely(subject, 'redirect.no-slashes', 0.7, text.slice(0, 40))
  }
}

const REDIRECT_FIELD = sequence([
  /^/,
  [
    /url|uri|next|redirect\w*|redir\w*|return\w*|goto|go|to|dest\w*|continue|rurl|target|view|out|link/,
    /forward|callback|checkout_url|image_url|success|data|reference|site|html|val|validate|domain|page|feed/,
    /host|port|path|ref/
  ],
  /$/
])

const REDIRECT_SLASHES = anyOf([
  /^(?=\/*\\)[/\\]{2,}[\w@;.%-]|^[/\\]*\/(?:[\t ]|%5c|%09)[/\\]*[\w@;.%-]|^\/{3,5}[\w.@-]+\.\w{2,}/,
  /^\/[<>?;&\t ]{1,3}\/?\/[\w.]|^\/{2,}\\?;?@/
])

/** Targets that look local to a naive check and leave the site in a browser. */
function addRedirectSigns (subject: Subject, text: string): void {
  const first = text.slice(0, 120)
  if (REDIRECT_SLASHES.test(first)) {
    return likely(subject, 'redirect.slashes', subject.kind === 'path' ? 0.6 : 0.79, first.slice(0, 60))
  }
  if (/^\/{1,}(?:https?:\/?\/?\/?|https?%3a)[\w%/\t\\]/.test(first)) {
    return likely(subject, 'redirect.embedded', subject.kind === 'path' ? 0.55 : 0.78, first.slice(0, 60))
  }
  if (/^\/{2}[\w.-]+\.[a-z]{2,}(?:\/|$)/.test(first) && subject.kind !== 'path') {
    return likely(
      subject,
      'redirect.protocol-relative',
      /\.\.|%2e|%2f|^\/\/[\w.-]+\/*$/.test(first) ? 0.77 : 0.3,
      first.slice(0, 60)
    )
  }
  if (/^\/?[\w.-]+\.[a-z]{2,6}\/(?:%2f)?(?:\.\.|%2e%2e)/.test(first)) {
    return likely(subject, 'redirect.climb', 0.77, first.slice(0, 60))
  }
  if (/^\/[\w-]*\?(?:[\w]+=(?:https?:|\/[/\\])[^&]*&){2,}/.test(text.slice(0, 600))) {
    return likely(subject, 'redirect.spray', 0.78, first.slice(0, 60))
  }
  if (
    /^https?:[/\\]{0,1}[^/\\\s]|^https?:\/{3,}|^h\ttps?|^https?:\\/.test(first) &&
    /^https?:(?!\/\/[^/])/.test(first)
  ) {
    return likely(subject, 'redirect.odd-slashes', 0.77, first.slice(0, 60))
  }
  if (/^https?:\/\/[^/]*(?:\\|%5c|%2f|%23|%00|\u3002|[\ufe68\uff0f])/.test(first)) {
    return likely(subject, 'redirect.encoded-host', 0.77, first.slice(0, 60))
  }
  if (/^\/\.[\w-]{2,40}\.[a-z]{2,6}\/?$/.test(first) && subject.kind === 'query') {
    return likely(subject, 'redirect.dot-host', 0.76, first)
  }
  if (REDIRECT_FIELD.test(subject.field) && /^(?:https?:)?\/\/[^/]+@/.test(first)) {
    likely(subject, 'redirect.userinfo', 0.76, first.slice(0, 60))
  }
}

const PATH_FIELD = anyOf([
  /^mosconfig|absolute_path|_path$|^inc|include|document_root|root_path|basedir|^dir$|^lang_?path/,
  /\[(?:\w*path|dir|root)\]$|^phpbb_root|^template/
])

/** A URL whose query is cut open (`?`, `??`) so that what the application appends is lost, or that names code. */
function addInclusionSigns (subject: Subject, text: string): void {
  if (/^(?:file|https?|ftps?)\?$/.test(text)) return likely(subject, 'rfi.cut-query', 0.76, text)
  if (/^https?:\/\/[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){3,7}(?:\/|$)/.test(text)) {
    return likely(subject, 'ssrf.address', 0.78, text.slice(0, 60))
  }
  const match = /(?:^|=|&|(?<=^[\w&/.]{1,80}))(?:https?|ftps?):\/\/[^\s&]{1,200}/.exec(text.slice(0, 2048))
  if (match === null) return
  const url = match[0]
  if (
    subject.kind !== 'json' && subject.kind !== 'graphql' &&
    /\?{2,}|\?(?:&|%00|\0|$)/.test(url + (text.charAt(match.index + url.length) || '')) &&
    /^(?:[\w=&/.?]{0,80})?(?:https?|ftps?):/.test(text)
  ) {
    return likely(subject, 'rfi.cut-query', 0.79, url)
  }
  if (
    /\/[\w.-]+\.(?:txt|php\d?|phtml|inc|asp|aspx|jsp|cgi|pl|py|sh|ps1|exe|dat|jpg\?cmd)\?/.test(url) &&
    /\?(?:cmd|c|exec|\??$)/.test(url)
  ) {
    return likely(subject, 'rfi.remote-code', 0.8, url)
  }
  if (/^(?:https?|ftps?):\/\/?\w*$/.test(text)) return likely(subject, 'rfi.bare-scheme', 0.4, text)
  if (/^ftps?:/.test(text)) return likely(subject, 'rfi.ftp', 0.76, url)
  if (PATH_FIELD.test(subject.field)) return likely(subject, 'rfi.path-field', 0.77, url)
  if (subject.kind === 'query') weak(subject, 'rfi.url', 0.06, url)
}
