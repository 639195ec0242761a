import { anyOf, captured, sequence } from '../../../std/regex.ts'
import { wordSet } from '../../../std/words.ts'
import { CHAR } from '../characters.ts'
import { decodeEntities, decodeEscapes } from '../decode.ts'
import { certain, leftOut, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { WORD } from '../words.ts'
import { ATTRIBUTES_MAX, TAGS_MAX, tokenizeHtml } from './html-tokens.ts'
import type { HtmlAttribute, HtmlTag } from './html-tokens.ts'
import { dropRepeatedSigns } from './repeated-signs.ts'

/**
 * Script in markup: tags, handlers, script URLs and styles are read by an HTML tokenizer; break-outs of
 * attributes and of script strings by their own structure. Source: OWASP XSS filter evasion, the HTML
 * standard's event handlers.
 */
export function detectXss (subject: Subject): void {
  const { characters, words } = subject
  if ((characters & CHAR.less) !== 0) addMarkupSigns(subject)
  if ((characters & CHAR.greater) !== 0 && /^\W{0,4}--!?>\W{0,4}$/.test(subject.flat)) {
    likely(subject, 'xss.comment-end', 0.76, '-->')
  }
  if ((characters & CHAR.nonAscii) !== 0 && /\u00bc ?\/?\w+ ?\u00be/.test(subject.flat)) {
    likely(subject, 'xss.us-ascii', 0.78, subject.flat.slice(0, 40))
  }
  if (
    (characters & CHAR.equals) !== 0 &&
    (characters &
        (CHAR.less | CHAR.greater | CHAR.quote | CHAR.doubleQuote | CHAR.paren | CHAR.backtick |
          CHAR.space)) !== 0
  ) {
    addHandlerSigns(subject)
  }
  if (
    (characters & CHAR.colon) !== 0 &&
    ((words & WORD.scheme) !== 0 || (characters & (CHAR.lineBreak | CHAR.control)) !== 0 ||
      subject.text.includes('\t'))
  ) {
    addSchemeSigns(subject)
  }
  if (
    (words & WORD.script) !== 0 || (characters & (CHAR.bracket | CHAR.bang)) === (CHAR.bracket | CHAR.bang)
  ) {
    addScriptSigns(subject)
  }
  if ((characters & CHAR.colon) !== 0 && /-moz-binding ?:|:url\( ?javascript|\bdata: ?,/.test(subject.flat)) {
    likely(subject, 'xss.style', 0.77, subject.flat.slice(0, 50))
  }
}

const SCRIPT_URL = anyOf([
  /^(?:java|vb|live|j|ecma)script:|^mocha:/,
  sequence([
    /^data:/,
    [
      /text\/(?:html|xml|javascript)|image\/svg|application\/(?:xml|xhtml|javascript)|,|;base64/,
      /text\/plain;base64/
    ]
  ])
])
const URL_ATTRIBUTES = wordSet(`
  href src action formaction data xlink:href background lowsrc dynsrc poster from to values code codebase
  archive cite longdesc usemap srcdoc content manifest classid handler url ev:event datasrc style ping profile
`)
const ACTIVE_TAGS = wordSet(`
  script iframe frame frameset object embed applet layer ilayer bgsound base meta link isindex xml import xss
  svg math style marquee form keygen portal xsl:stylesheet set animate animation animatetransform animatemotion
  listener handler feimage foreignobject event-source eval scriptlet template noscript stylesheet ?import
  v:vmlframe vmlframe x:script body html input button textarea select details video audio source implementation
`)
/** Tags that rich text is made of: no sign by themselves. */
const COMMON_TAGS = wordSet(`
  form svg body html style input button textarea select details video audio source math link meta template
  noscript base
`)
const HANDLER_NAME = /^on[a-z]{3,24}$/
const CODE = /[(=`[]|javascript|document|window|location|alert|confirm|prompt|eval|import|void|msgbox|inputbox/

function addMarkupSigns (subject: Subject): void {
  // Blanks and NUL inside names are what some filters and browsers disagree about.
  const tags = tokenizeHtml(subject.text)
  if (tags.length >= TAGS_MAX) leftOut(subject, `tags beyond the ${TAGS_MAX}th`)
  if (tags.some((tag) => tag.cut)) leftOut(subject, `attributes of one tag beyond the ${ATTRIBUTES_MAX}th`)
  let harmless = 0
  for (const tag of tags) {
    const before = subject.signs.length
    if (!addTagSigns(subject, tag)) harmless++
    dropRepeatedSigns(subject.signs, before)
  }
  if (harmless > 0 && tags.length === harmless) weak(subject, 'xss.markup', 0.05, '<' + (tags[0] as HtmlTag).name)
  if (/<!\[cdata\[|<!--\[if|\]\]>/.test(subject.flat)) {
    likely(subject, 'xss.cdata', /script|onerror|javascript/.test(subject.flat) ? 0.8 : 0.45, '<![CDATA[')
  }
  if (/<\/(?:script|title|style|textarea|nowiki|noscript|iframe|template|xmp)\b/.test(subject.flat)) {
    addClosingSigns(subject)
  }
  if (!subject.document && /<(?:\w ){2,}\w|< ?x ?: ?script/.test(subject.flat)) {
    likely(subject, 'xss.spaced-tag', 0.76, '<')
  }
}

function addClosingSigns (subject: Subject): void {
  const opens = /<(?:script|title|style|textarea|nowiki|noscript|iframe|template|xmp)\b/.test(subject.flat)
  if (!opens && !subject.document) likely(subject, 'xss.closing-tag', 0.77, '</')
}

/** True when the tag carried a sign. */
function addTagSigns (subject: Subject, tag: HtmlTag): boolean {
  const before = subject.signs.length
  for (const attribute of tag.attributes) addAttributeSigns(subject, tag, attribute)
  if (tag.name === 'script') addScriptTagSigns(subject, tag)
  else if (tag.name === 'style') addStyleSigns(subject, styleOf(subject.text, tag.end))
  else if (
    tag.name === 'meta' && /http-equiv/i.test(names(tag)) && /refresh|set-cookie|utf-7/i.test(values(tag))
  ) {
    certain(subject, 'xss.meta', '<meta http-equiv')
  } else if (tag.name === 'link' && /import|stylesheet/.test(values(tag).toLowerCase())) {
    likely(subject, 'xss.link', 0.78, '<link')
  } else if (tag.name === 'base' && /href/.test(names(tag))) likely(subject, 'xss.base', 0.8, '<base href')
  else if (
    /^(?:svg|math|html|xhtml|v|x):/.test(tag.name) ||
    (tag.name === '?xml-stylesheet' && subject.kind !== 'xml')
  ) {
    likely(subject, 'xss.active-tag', 0.77, '<' + tag.name)
  } else if (tag.name.startsWith('!entity') || tag.name.startsWith('!doctype')) return true
  else if (ACTIVE_TAGS.has(tag.name) && !COMMON_TAGS.has(tag.name)) {
    likely(subject, 'xss.active-tag', 0.77, '<' + tag.name)
  } else if (COMMON_TAGS.has(tag.name)) addCommonTagSigns(subject, tag)
  else if (/(?:^| )(?:xsi:schemalocation|datasrc|dataformatas|datafld|pattern)/.test(names(tag))) {
    likely(subject, 'xss.data-binding', 0.77, '<' + tag.name)
  } else if (
    /attributename/.test(names(tag)) ||
    /script/.test(tag.name.replace(/^\//, '').replace(/^(?:no)?script$/, ''))
  ) {
    likely(subject, 'xss.active-tag', 0.77, '<' + tag.name)
  }
  return subject.signs.length > before
}

/** A style element's text: it ends at the next one, so that many of them are read once. */
function styleOf (text: string, from: number): string {
  const ahead = text.slice(from, from + READABLE_CHARACTERS_MAX)
  const end = ahead.search(/<\/?style/i)
  return end === -1 ? ahead : ahead.slice(0, end)
}

function addCommonTagSigns (subject: Subject, tag: HtmlTag): void {
  const attributes = names(tag)
  if (
    /autofocus|formaction|xmlns|onfocus|srcdoc/.test(attributes) ||
    (!FORM_TAGS.has(tag.name) && subject.text.length < 240)
  ) {
    likely(subject, 'xss.active-tag', 0.76, '<' + tag.name)
  } else weak(subject, 'xss.active-tag', 0.3, '<' + tag.name)
}

const FORM_TAGS = wordSet(`
  form style input button textarea select details video audio source html body
`)
const names = (tag: HtmlTag): string => tag.attributes.map((attribute) => attribute.name).join(' ')
const values = (tag: HtmlTag): string => tag.attributes.map((attribute) => attribute.value).join(' ')

function addScriptTagSigns (subject: Subject, tag: HtmlTag): void {
  const body = subject.text.slice(tag.end, tag.end + 400)
  const source = tag.attributes.some((attribute) => /^(?:src|href|xlink:href|\/?src)$/.test(attribute.name))
  if (source || /[(=.`[]|&lpar/.test(body) || /^\s*$/.test(body)) {
    certain(subject, 'xss.script-element', subject.text.slice(tag.start, tag.end + 40))
  } else likely(subject, 'xss.script-tag', 0.8, subject.text.slice(tag.start, tag.end + 40))
}

function addAttributeSigns (subject: Subject, tag: HtmlTag, attribute: HtmlAttribute): void {
  if (attribute.name.length > 4 && HANDLER_NAME.test(attribute.name.replaceAll('\0', ''))) {
    const code = readable(attribute.value)
    if (CODE.test(code)) {
      certain(subject, 'xss.event-handler', `<${tag.name} ${attribute.name}=${attribute.value.slice(0, 40)}`)
    } else likely(subject, 'xss.event-handler', 0.76, `<${tag.name} ${attribute.name}`)
    return
  }
  if (CLOBBERED.test(attribute.value) && (attribute.name === 'id' || attribute.name === 'name')) {
    likely(subject, 'xss.clobbering', 0.77, `<${tag.name} ${attribute.name}=${attribute.value}`)
  }
  if (attribute.value.length < 3) return
  if (attribute.value.length > READABLE_CHARACTERS_MAX && !/^data:image\/(?!svg)/.test(attribute.value)) {
    leftOut(subject, `an attribute beyond ${READABLE_CHARACTERS_MAX} characters`)
  }
  if (URL_ATTRIBUTES.has(attribute.name) || attribute.name.includes(':')) {
    const url = readable(attribute.value)
    if (SCRIPT_URL.test(url) || /[;=,]url=(?:javascript|data):|=javascript:/.test(url)) {
      scriptUrl(subject, tag, attribute, url)
    } else if (/script:|&\{/.test(url) && attribute.name !== 'style' && !/^https?:/.test(url)) {
      certain(subject, 'xss.script-url', `<${tag.name} ${attribute.name}=${attribute.value.slice(0, 40)}`)
    }
  }
  if (attribute.name === 'style') addStyleSigns(subject, attribute.value)
  else if (/&\{|^(?:javascript|vbscript)[:#]/.test(attribute.value)) {
    certain(subject, 'xss.script-url', `<${tag.name} ${attribute.name}=${attribute.value.slice(0, 40)}`)
  }
}

/** Names that scripts read from the document and its nodes: an element called so takes their place (DOM clobbering). */
const CLOBBERED = sequence([
  /^/,
  [
    /parentNode|childNodes|firstChild|attributes|nodeName|innerHTML|ownerDocument|defaultView|getElementById/,
    /getElementsBy\w+|querySelector(?:All)?|createElement|documentElement|currentScript|cookie|domain/,
    /scripts|__proto__|constructor|prototype|globalThis/
  ],
  /$/
])

function scriptUrl (subject: Subject, tag: HtmlTag, attribute: HtmlAttribute, url: string): void {
  // Pictures in editors are data URLs; only the kinds that run count.
  if (/^data:image\/(?!svg)/.test(url)) return
  certain(subject, 'xss.script-url', `<${tag.name} ${attribute.name}=${attribute.value.slice(0, 40)}`)
}

const STYLE = anyOf([
  /expression\(|-moz-binding|behaviou?r:|url\(['"]?(?:javascript|vbscript|data):|@import|javascript:|-o-link/,
  /binding:url/
])

function addStyleSigns (subject: Subject, style: string): void {
  // Letters of a style written as CSS escapes: nobody's editor does, and filters do not read them.
  if (/(?:\\{1,2}[0-9a-f]{2,6}[\s'"a-z]{0,12}){4}|expression\\?[\d(]/i.test(style.slice(0, 2048))) {
    likely(subject, 'xss.style-escapes', 0.8, style.slice(0, 60))
  }
  const code = readable(style).replace(/\/\*.{0,80}?\*\//g, '').replaceAll('\\', '')
  if (STYLE.test(code)) certain(subject, 'xss.style', style.slice(0, 60))
  else if (/url\(|[{}]|content:/.test(code) && !subject.document) {
    likely(subject, 'xss.style-url', 0.76, style.slice(0, 60))
  }
}

const READABLE_CHARACTERS_MAX = 2_048

/** As a browser reads an attribute: entities and escapes decoded, blanks and control characters dropped, lower case. */
function readable (value: string): string {
  const bounded = value.length > READABLE_CHARACTERS_MAX ? value.slice(0, READABLE_CHARACTERS_MAX) : value
  return decodeEscapes(decodeEntities(bounded)).replace(/[\u0000-\u0020\u00ad\u200b-\u200f\ufeff]+/g, '').toLowerCase()
}

const LOOSE_HANDLER = sequence([
  /(?:^|["'`\s/>;?&(])/,
  captured([
    sequence([
      /on/,
      [
        /abort|activate|after\w{3,10}|animation\w{3,9}|auxclick|before\w{3,16}|begin|blur|bounce|canplay\w{0,7}/,
        /change|click|contextmenu|copy|cut|dblclick|drag\w{0,5}|drop|end|ended|error|finish|focus\w{0,3}/,
        /form\w{3,8}|hashchange|input|invalid|key(?:down|press|up)|load\w{0,8}|message|mouse\w{2,5}/,
        /page(?:hide|show)|paste|play\w{0,3}|pointer\w{2,10}|popstate|propertychange|readystatechange|repeat/,
        /reset|resize|scroll\w{0,3}|search|seek\w{2,3}|select\w{0,6}|show|start|stop|submit|toggle|touch\w{3,6}/,
        /transition\w{3,6}|unhandledrejection|unload|wheel|webkit\w{5,20}/
      ]
    ])
  ]),
  / ?= ?(["'`]?[^\s&]{0,40})/
])

/** A handler that the value itself brings into the tag around it: `" onfocus="alert(1)`. */
function addHandlerSigns (subject: Subject): void {
  if (!subject.flat.includes('on')) return
  const match = LOOSE_HANDLER.exec(subject.flat)
  if (match === null) {
    if (/^[\s<"'`]+(?:on[a-z]{3,50}|formaction) ?= ?[^=]?/.test(subject.flat)) {
      likely(subject, 'xss.attribute-handler', 0.76, subject.flat.slice(0, 40))
    }
    return
  }
  const breaks = /^[^<]{0,200}["'`>]/.test(subject.flat.slice(0, match.index + 1)) || match.index === 0
  if (CODE.test(match[2] as string)) {
    breaks
      ? certain(subject, 'xss.attribute-handler', match[0])
      : likely(subject, 'xss.attribute-handler', 0.8, match[0])
  } else {
    likely(
      subject,
      'xss.attribute-handler',
      /["'`\s/>]/.test(match[0].charAt(0)) || match.index === 0 ? 0.76 : 0.5,
      match[0]
    )
  }
}

function addSchemeSigns (subject: Subject): void {
  const match = /(?:java|vb|live)script ?:/.exec(
    (subject.characters & (CHAR.lineBreak | CHAR.control)) !== 0 || subject.text.includes('\t')
      ? subject.text.toLowerCase().replace(/[\u0000-\u0020]+/g, '')
      : subject.flat
  ) ??
    /data:(?:text\/html|image\/svg\+xml|text\/javascript|application\/xhtml)[^,]{0,60},/.exec(subject.flat)
  if (match === null) return
  const head = match.index <= 2
  // `JavaScript: the good parts` is a title: a blank and plain words are no address.
  const prose = /^\W?\w+script: [a-z]+(?: |$)[^=`;<\\]*$/.test(subject.flat)
  if (prose) weak(subject, 'xss.script-scheme', 0.2, match[0])
  else if (head && /[(=`]|%28|document|alert|\\|&#|</.test(subject.flat.slice(match.index + 10))) {
    certain(subject, 'xss.script-scheme', subject.flat.slice(0, 60))
  } else if (head && !subject.flat.startsWith('javascript:void(0)')) {
    likely(subject, 'xss.script-scheme', 0.76, subject.flat.slice(0, 60))
  } else {
    likely(
      subject,
      'xss.script-scheme',
      /["'=(>]$/.test(subject.flat.slice(0, match.index)) ? 0.78 : 0.5,
      match[0]
    )
  }
}

const SINK = sequence([
  /\b/,
  [
    sequence([
      /document ?(?:\.|\[) ?["']?/,
      [
        /cookie|location|write(?:ln)?|body|domain|getelementby\w+|queryselector\w*|create\w+|forms|referrer/
      ]
    ]),
    sequence([
      /(?:window|self|top|parent|frames|globalthis|this)(?: ?\. ?| ?\[ ?["'/])/,
      [
        /location|document|alert|confirm|prompt|eval|open|name|cookie|\\|[a-z]{0,8}["'] ?\]/
      ]
    ]),
    /\w ?\. ?innerhtml|string ?\. ?fromcharcode ?\(|set(?:timeout|interval) ?\( ?["'`a-z]|exec ?script ?\(/
  ]
])
const DIALOG = /(?:^|[^\w.])(?:alert|confirm|prompt|msgbox|print) ?(?:\(|`|&lpar;)/

const SCRIPT_CODE = anyOf([
  /\beval ?\((?! ?\))|\bfunction ?\(.{0,40}\{|=> ?\{|\[\] ?\[|!!?\[ ?\]|\[ ?!?\[ ?\]|\(?!\[\]/,
  /\] ?\. ?(?:sort|map|filter|find|some|every|reduce|foreach|constructor) ?\. ?(?:call|apply|bind)/,
  /\( ?(?:document|window|self|top) ?\) ?\[|!\+\[\]|constructor ?\( ?["'`]|\.call ?`/,
  /\b(?:atob|btoa|unescape|decodeuricomponent|import) ?\(/
])

/** Script text without markup: break-outs of script strings and calls of the page's own objects. */
function addScriptSigns (subject: Subject): void {
  const text = subject.flat.includes('/*')
    ? subject.flat.replace(/\/\*[^*]{0,60}\*\//g, '').replace(/ {2,}/g, ' ')
    : subject.flat
  const dialog = DIALOG.exec(text)
  if (dialog !== null) {
    const broken =
      /^[^a-z]{0,3}["'`][^a-z]{0,8}(?:alert|confirm|prompt)|["'`] ?[;)\]}+*,-]+ ?(?:alert|confirm|prompt)/
        .test(text)
    if (broken && /\/\/|--|<!|["'`;] ?$/.test(text)) {
      certain(subject, 'xss.script-break', text.slice(dialog.index, dialog.index + 50))
    } else {
      likely(
        subject,
        'xss.script-call',
        broken
          ? 0.82
          : /^[^a-z]{0,6}$/.test(text.slice(0, dialog.index)) || /["'>;=/]/.test(text)
            ? 0.78
            : 0.6,
        text.slice(dialog.index, dialog.index + 50)
      )
    }
  }
  const sink = SINK.exec(text)
  if (sink !== null) {
    likely(
      subject,
      'xss.page-object',
      /[\w)] [a-z]+ [a-z]/.test(text)
        ? 0.5
        : /^(?:this|self|parent)\.(?:name|open)$/.test(text)
          ? 0.35
          : 0.77,
      sink[0]
    )
  }
  if (/\b(?:top|self|window|parent|frames|this|globalthis) ?\[ ?\/\w+\/\.source/.test(text)) {
    likely(subject, 'xss.page-object', 0.8, text.slice(0, 50))
  }
  if (SCRIPT_CODE.test(text)) likely(subject, 'xss.script-code', subject.document ? 0.5 : 0.76, text.slice(0, 50))
}
