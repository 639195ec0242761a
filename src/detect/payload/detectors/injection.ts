import { anyOf, sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { NAME_FIELD, certain, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { WORD } from '../words.ts'

/**
 * Injections into line protocols and small languages: headers (CRLF), mail, LDAP, XPath, server-side
 * includes, XML entities, document stores.
 */
export function detectInjection (subject: Subject): void {
  const { characters, words } = subject
  if ((characters & CHAR.slash) !== 0 && REQUEST_VALUE.test(subject.flat)) {
    likely(subject, 'crlf.request-line', 0.77, subject.flat.slice(0, 50))
  }
  if (
    (characters & CHAR.semicolon) !== 0 &&
    /\.cookie ?; ?(?:expires|domain|path|max-age) ?=/.test(subject.flat)
  ) {
    likely(subject, 'session.cookie-set', 0.78, subject.flat.slice(0, 40))
  }
  if ((characters & (CHAR.lineBreak | CHAR.control)) !== 0) addLineSigns(subject)
  if ((characters & CHAR.paren) !== 0) {
    addDirectorySigns(subject)
    addXpathSigns(subject)
  } else if ((characters & CHAR.star) !== 0) addWildcardSigns(subject)
  if ((characters & CHAR.less) !== 0) {
    addIncludeSigns(subject)
    addEntitySigns(subject)
  }
  // U+560A and U+560D end in the bytes of a line break: who keeps the low byte writes one.
  if (
    (characters & CHAR.nonAscii) !== 0 &&
    /\u560a\u560d|\u560d\u560a|[\u560a\u560d][a-z-]{3,30} ?:/i.test(subject.text)
  ) {
    likely(subject, 'crlf.low-byte', 0.82, '\\u560a\\u560d')
  }
  if (
    (characters & CHAR.dollar) !== 0 ||
    ((words & WORD.script) !== 0 && (characters & (CHAR.semicolon | CHAR.paren | CHAR.dot | CHAR.pipe)) !== 0)
  ) {
    addDocumentStoreSigns(subject)
  }
}

/** A value that is a request line from end to end: the first piece of a smuggled request. */
const REQUEST_VALUE =
  /^(?:get|post|put|head|delete|options|patch|trace|connect) (?:\/|https?:)[^\s]{0,300} http\/\d(?:\.\d)?$/

const HEADER = sequence([
  /[\r\n]\s{0,3}/,
  [
    /set-cookie2?|location|content-(?:type|length|disposition|encoding|location|security-policy)/,
    /transfer-encoding|x-[a-z-]{2,30}|remote-addr|refresh|host|cookie|referer|user-agent|link|status/,
    /access-control-[a-z-]{5,24}|cache-control|last-modified|via|p3p|authorization|connection|keep-alive/,
    /http\/\d(?:\.\d)? \d{3}|http\/\d/
  ],
  /\s{0,2}[: ]/
], 'i')
const REQUEST_LINE =
  /[\r\n](?:get|post|put|head|delete|options|patch|trace|connect) (?:\/|https?:)[^\r\n]{0,200} http\/\d/i
const MAIL_HEADER = /[\r\n](?:bcc|cc|to|from|reply-to|subject|content-type|mime-version|return-path)\s{0,2}:\s{0,2}\S/i
const MAIL_COMMAND = sequence([
  /[\r\n]\s{0,3}(?:a\d{3} )?/,
  [
    /mail from ?:|rcpt to ?:|ehlo |helo |data[\r\n]|vrfy |expn |rset\b|starttls\b/,
    /auth (?:login|plain|\S+ \S{8,})|apop \S+ [0-9a-f]{16,}|user \w+[\r\n]/,
    /(?:uidl|retr|top|list|dele|stat|noop|quit|capa)\b(?: \d+)*\s*$/,
    sequence([
      [
        /fetch|select|status|examine|append|capability|authenticate|login|subscribe|rename|search|store|copy/,
        /uid/
      ],
      / ?(?:[\w"*(]|$)/
    ])
  ]
], 'i')

function addLineSigns (subject: Subject): void {
  const { text, kind } = subject
  const line = kind === 'path' || kind === 'query' || kind === 'header' || kind === 'referer' ||
    kind === 'cookie' || kind === 'name' || kind === 'agent'
  if (text.includes('\0') && /[/\\]\w[\w.-]{0,60}\0|\.[a-z]\w{1,5}\0/i.test(text)) {
    likely(subject, 'lfi.nul-extension', 0.78, '\\0')
  } else if (text.includes('\0') && kind !== 'multipart' && kind !== 'text') {
    likely(subject, 'crlf.nul', line ? 0.77 : kind === 'form' ? 0.6 : 0.4, '\\0')
  } else if (line && /[\u0001-\u0008\u000e-\u001a\u001c-\u001f]/.test(text)) {
    likely(
      subject,
      'crlf.control',
      kind === 'path' || kind === 'name' || kind === 'header' || kind === 'agent' ? 0.76 : 0.5,
      'control character'
    )
  }
  if ((subject.characters & CHAR.lineBreak) === 0) return
  const header = HEADER.exec(text) ?? REQUEST_LINE.exec(text)
  if (header !== null) {
    if (line && !isOrdinaryLabel(header[0], text)) return certain(subject, 'crlf.header', header[0].trim())
    if (!subject.document) {
      likely(subject, 'crlf.header', isOrdinaryLabel(header[0], text) ? 0.35 : 0.78, header[0].trim())
    }
  }
  if (!subject.document || kind === 'query') {
    const mail = MAIL_HEADER.exec(text)
    if (mail !== null && /^[^\r\n]{0,120}[\r\n]+(?:bcc|cc|to|from|reply-to|subject)/i.test(text)) {
      likely(
        subject,
        'mail.header',
        line || /[\r\n]bcc ?: ?[^\s@]{1,64}@/i.test(text) ? 0.78 : 0.5,
        mail[0].trim()
      )
    }
    const command = MAIL_COMMAND.exec(text)
    if (command !== null && text.length < 300) likely(subject, 'mail.command', 0.78, command[0].trim())
  }
  if (line && /\r?\n\r?\n\s{0,8}<[a-z!?/]/i.test(text)) {
    likely(subject, 'crlf.answer-body', 0.82, 'a head that ends, and markup')
  }
  if (
    kind === 'path' || kind === 'header' ||
    (subject.field === NAME_FIELD && (kind === 'query' || /[\r\n][^\S\r\n]{0,40}\S/.test(text)))
  ) {
    likely(subject, 'crlf.line-break', 0.77, 'line break')
  } else if (kind === 'query' && /[\r\n]\w{1,24}[:=]/.test(text) && text.length < 200) {
    likely(subject, 'crlf.line-break', /\s\w+\s/.test(text) ? 0.5 : 0.76, 'line break')
  }
}

/** Names that people also write before a colon: `Location: Berlin` in the second line of an address. */
function isOrdinaryLabel (header: string, text: string): boolean {
  return /^\s*(?:location|link|status|host|via|connection|refresh|referer|cookie|authorization)\s{0,2}:/i
    .test(header) && !/:\s*(?:https?:|\/|\w+=|<)|http\/\d|<(?<=\r?\n\r?\n\s*<)/i.test(text)
}

const LDAP_FILTER = anyOf([
  /\) ?\( ?[|&!]|\( ?[|&!] ?\( ?[\w-]{1,30} ?[=~<>]|[*\w] ?\) ?[&|!]? ?\( ?[\w.:-]{1,30} ?(?:=|~=|[<>]=)/,
  sequence([
    /\( ?/,
    [
      /objectclass|uid|cn|mail|sn|userpassword|homedirectory|memberof|samaccountname|\w{2,20}/
    ],
    / ?[~<>]?= ?\*/
  ]),
  /\*\(\)?\|/
])

function addDirectorySigns (subject: Subject): void {
  const text = subject.flat
  const filter = LDAP_FILTER.exec(text)
  if (filter === null) return
  if (/^[^(]{0,80}\)|\*\)|\*\(\|/.test(text)) certain(subject, 'ldapi.filter', filter[0])
  else likely(subject, 'ldapi.filter', 0.78, filter[0])
}

function addWildcardSigns (subject: Subject): void {
  if (/^\W{0,2}\*[|&(]|^\w{2,24}\*$|^\*$/.test(subject.flat) && (subject.kind === 'query' || subject.kind === 'form')) {
    if (/^\*[|&]/.test(subject.flat)) likely(subject, 'ldapi.wildcard', 0.77, subject.flat)
    else weak(subject, 'ldapi.wildcard', 0.3, subject.flat.slice(0, 30))
  }
}

const XPATH = anyOf([
  /\bcount ?\( ?(?:\/|\.|child::|\*[/[]|@)/,
  sequence([
    /\b/,
    [
      /child|parent|ancestor(?:-or-self)?|descendant(?:-or-self)?|following(?:-sibling)?/,
      /preceding(?:-sibling)?|attribute|self|namespace/
    ],
    /::(?:node|text|comment|\*|\w)/
  ]),
  /\/\*\[|\bposition\(\) ?[=<>]|\b(?:node|text|comment|name|local-name)\(\) ?[=\]/|]/,
  /(?:string-length|substring|name|contains|starts-with) ?\( ?(?:\/|@|\.\/|text\(\)|name\(|\.\.)/,
  /\/\/(?:\w+|\*)\[|\buser\[|\] ?\| ?\/\/|^doc(?:ument)?\( ?['"](?:https?|file|ftp):/
])

function addXpathSigns (subject: Subject): void {
  const match = XPATH.exec(subject.flat)
  if (match === null) return
  if (/["'] ?(?:or|and|\||\]) |\] ?\|/.test(subject.flat)) certain(subject, 'xpathi.expression', match[0])
  else likely(subject, 'xpathi.expression', 0.78, match[0])
}

function addIncludeSigns (subject: Subject): void {
  const match = /<! ?-- ?# ?(?:exec|include|echo|config|printenv|fsize|flastmod|set|if|elif|else|endif)\b/
    .exec(subject.flat)
  if (match !== null) certain(subject, 'ssi.directive', subject.flat.slice(match.index, match.index + 60))
  else if (/<esi:(?:include|inline|vars|remove|assign|debug|try|choose)\b/.test(subject.flat)) {
    certain(subject, 'ssi.edge-include', '<esi:')
  }
}

/** Entities declared inside what a client sends: an ordinary document has none. */
function addEntitySigns (subject: Subject): void {
  const text = subject.flat
  const entity = /<!entity (?:% )?[\w.%-]{1,40} (?:(?:system|public)\b|["'])/.exec(text)
  if (entity !== null) {
    if (/<!entity (?:% ?)?[^>]{0,80}(?:system|public)|<!entity %|(?:&\w+;){4}/.test(text)) {
      certain(subject, 'xxe.external-entity', text.slice(entity.index, entity.index + 80))
    } else likely(subject, 'xxe.entity', 0.8, text.slice(entity.index, entity.index + 60))
  } else if (
    /<!doctype [\w:.-]{1,40} (?:system|public ['"][^'"]{0,80}['"] ?['"](?:https?|file|ftp)|\[)/.test(text) &&
    !/^<!doctype html/.test(text.trimStart())
  ) {
    likely(
      subject,
      'xxe.doctype',
      /doctype [\w:.-]{1,40} (?:system|public) ["']/.test(text) ? 0.8 : 0.6,
      '<!doctype'
    )
  }
  if (/<xi:include\b[^>]{0,200}href|xmlns:xi=/.test(text)) certain(subject, 'xxe.xinclude', '<xi:include')
  if (
    /<xsl:(?:stylesheet|value-of|include|import|copy-of|variable)\b/.test(text) &&
    /document\(|system-property|unparsed-text|php:function|href=["'](?:http|file)/.test(text)
  ) {
    certain(subject, 'xxe.stylesheet', '<xsl:')
  }
}

/** Operators of MongoDB and its kin: `$`-words that are part of its query language. */
const MONGO_OPERATOR = sequence([
  /^\$/,
  [
    /eq|ne|gte?|lte?|n?in|regex|options|where|exists|or|and|not|nor|elemmatch|expr|mod|all|size|type|text/,
    /search|jsonschema|function|accumulator|lookup|match|group|project|unwind|merge|out|geowithin|near|slice/,
    /comment|rand|nin|func/
  ],
  /$/
])

const OPERATOR_TEXT = anyOf([
  sequence([
    /["'{,[ ]\$/,
    [
      /ne|gte?|lte?|n?in|regex|where|exists|or|and|not|nor|elemmatch|expr|mod|all|size|type|eq|func/
    ],
    /["']? ?[:\]]/
  ]),
  /^\$(?:where|ne|gt|regex) ?:/
])

const QUERY_CODE = anyOf([
  sequence([
    /(?:[;|&{(}] ?|^)/,
    [
      /return ?[("'\d!\w]|sleep ?\( ?\d* ?\) ?(?:[;}|&'"]|$)|while ?\(|var \w+ ?=|db\.\w+|it=new date|do ?\{/
    ]
  ]),
  /\bthis\.\w+(?:\.(?:match|length|indexof|charat|substr\w*|test)\b| ?(?:[=!]=|[<>]))/,
  /function ?\( ?\w* ?\) ?\{ ?(?:return|var|do|sleep|while|emit)/,
  /\bdb\.(?:getcollection|\w+\.(?:insert|find|drop|remove|update|mapreduce|aggregate))|\btojson\(/,
  /(?:[|&]{2}) ?["']?\w*["']? ?={2,3} ?["']?/
])

function addDocumentStoreSigns (subject: Subject): void {
  const text = subject.flat
  if ((subject.characters & CHAR.dollar) !== 0) {
    const operator = OPERATOR_TEXT.exec(text)
    if (operator !== null) likely(subject, 'nosqli.operator-text', 0.79, operator[0])
    if (/\$where\b.{0,6}(?:function|["'(]|this\.)/.test(text)) likely(subject, 'nosqli.where-code', 0.82, '$where')
  }
  const broken = /^[^"'a-z]{0,12}\w{0,20}["'] ?[;|&})]/.test(text)
  const code = QUERY_CODE.exec(text)
  if (code === null || subject.document) return
  if (/[;}] ?return (?:true|1|!0|!1|this)\b ?;?$/.test(text) && text.length < 80) {
    likely(subject, 'nosqli.code', 0.77, code[0])
  }
  if (broken && /return|sleep|while|this\.|==|db\./.test(code[0])) certain(subject, 'nosqli.code-break', code[0])
  else if (/db\.|this\.|function|[|&]{2}/.test(code[0])) likely(subject, 'nosqli.code', 0.77, code[0])
  else if (/sleep|return ?\(|while/.test(code[0])) likely(subject, 'nosqli.code', 0.6, code[0])
}

/** Names of fields: operators, prototypes, and session ids that a client should never be handed in a link. */
export function detectName (subject: Subject): void {
  const text = subject.flat
  const operator = /(?:^|[[.])(\$\w{2,12})(?:\]|$|\.)/.exec(text)
  if (operator !== null && MONGO_OPERATOR.test(operator[1] as string)) {
    const search = subject.kind === 'json' &&
      /^\$(?:text|search|comment|type|size|match|group|options)$/.test(operator[1] as string)
    search ? likely(subject, 'nosqli.operator-key', 0.5, text) : likely(subject, 'nosqli.operator-key', 0.83, text)
  }
  if (isRelationLookup(text)) likely(subject, 'code.query-lookup', 0.5, text)
  else if (GUESSED_SECRET.test(text)) likely(subject, 'code.query-lookup', 0.78, text)
  addPrototypeSigns(subject, text)
}

/** A filter on what is never shown, piece by piece: `password__startswith=a`. */
const GUESSED_SECRET = sequence([
  /(?:^|__)\w{0,20}(?:password|passwd|secret|token|otp|api_?key|hash)\w{0,12}__/,
  /(?:i?(?:startswith|endswith|contains|regex)|gt|gte|lt|lte)$/
])

const LOOKUP = /^(?:i?(?:startswith|endswith|contains|regex)|has_keys?)$/

/** `owner__profile__secret__startswith`: a filter that walks through relations to guess at what it is not shown. */
function isRelationLookup (text: string): boolean {
  if (text.length > 120 || !text.includes('__')) return false
  const hops = text.split('__')
  return hops.length > 3 && LOOKUP.test(hops.at(-1) as string) && hops.every((hop) => /^\w+$/.test(hop))
}

/**
 * A key that reaches for the prototype refuses a request; merely being there it is no ground to ban whoever
 * sent it.
 */
export function addPrototypeSigns (subject: Subject, text: string): void {
  if (/__proto__|(?:^|[[.])constructor(?:\]?[[.]|\.)\s?prototype/.test(text)) {
    likely(subject, 'proto.key', 0.84, text.slice(0, 60))
  } else if (/^prototype$|__(?:define|lookup)(?:getter|setter)__/.test(text)) {
    likely(subject, 'proto.key', 0.6, text)
  }
}
