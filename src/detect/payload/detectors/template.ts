import { anyOf, sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { certain, certainAnywhere, leftOut, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { dropRepeatedSigns } from './repeated-signs.ts'

/**
 * Template and expression injection, and Java's lookups: the inside of `{{ }}`, `${ }`, `#{ }`, `<% %>` is
 * judged, the braces alone say little. Sources: PortSwigger SSTI research (J. Kettle, 2015), CVE-2021-44228.
 */
export function detectTemplate (subject: Subject): void {
  const { characters } = subject
  if ((characters & CHAR.brace) !== 0) {
    addLookupSigns(subject)
    addExpressionSigns(subject)
  }
  if ((characters & CHAR.less) !== 0 && subject.flat.includes('<%')) addServerTagSigns(subject)
  if ((characters & CHAR.hash) !== 0 && /#set ?\( ?\$\w+ ?=/.test(subject.flat)) {
    likely(subject, 'ssti.velocity', 0.82, subject.flat.slice(0, 60))
  }
  if ((characters & CHAR.paren) !== 0 && /^[@$]\( ?\d{1,6} ?[*+%-] ?\d{1,6} ?\)$/.test(subject.flat)) {
    likely(subject, 'ssti.razor', 0.8, subject.flat)
  }
  if ((characters & CHAR.brace) !== 0) addSingleBraceSigns(subject)
  if (
    (characters & CHAR.bracket) !== 0 && /\[# ?(?:assign|if|list|include)\b|\[= ?["'\w]/.test(subject.flat)
  ) {
    likely(subject, 'ssti.freemarker', 0.8, subject.flat.slice(0, 60))
  }
}

const OPEN = /(?:\{\{|\$\{|#\{|@\{|\*\{|~\{|%\{|\{%|\{php\b|\{\/?if\b|\$!\{|\{#)/g
const EXPRESSIONS_MAX = 256
const INSIDE_CHARACTERS_MAX = 400

const REACH = anyOf([
  /__(?:class|globals|init|mro|subclasses|builtins|import|getitem|base|bases|dict|self|getattribute)__/,
  /\.(?:getclass|forname|getruntime|newinstance|getmethod|invoke|classloader|constructor)\b|\bt\( ?java/,
  /java\.(?:lang|util|io)|\b(?:os|subprocess|child_process)\.\w*(?:popen|system|exec|spawn)|linecache\.os/,
  /\.os\b|\|attr\(|\| ?(?:filter|map|sort|reduce)\( ?["'](?:system|exec|passthru|id)/,
  /\b(?:lipsum|cycler|joiner|url_for|get_flashed_messages)\b|_self\.env|registerundefinedfiltercallback/,
  /freemarker\.template|\?new\(|getenginebyname|process\.(?:mainmodule|binding|env)|constructor\.constructor/,
  /\bcomponentsof|\bclass\.(?:inspect|base|mro)|\.(?:mro|subclasses|popen|read|system)\(/,
  /(?:request|config|self|settings|session)(?:\.|\[|\|)\w+(?:\.|\[|\()|system\( ?["']|shell_exec|passthru/,
  /`\w+`|%x[({[]|io\.(?:popen|read)|file\.(?:open|read)|dir\.entries|kernel\./,
  /\$(?:class|smarty|runtime|rt|chr)\b|_templatereference|denymethodexecution|\.inspect\b.{0,20}class|#set/,
  /self::|smarty\.|phpinfo|getpwuid|core::/
])
/** Every reach goes through one of these; plain placeholders stop here. */
const DEEP = /[._(|`[:#]|joiner|cycler|lipsum|url_for|phpinfo/
const ARITHMETIC = /^[\s="'([]*\d{1,9}["']? ?[*+/%-] ?["']?\d{1,9}["')\]\s]*$/
const CALL = /[\w\])"']\.\w+\(|\w\( ?["'\d]|\[["']|["'] ?\|/

/**
 * `{7*7}`, `{$smarty.version}`: engines whose tags are one brace. Only what fills the value, since JSON and
 * code have braces too.
 */
function addSingleBraceSigns (subject: Subject): void {
  const text = subject.flat
  if (text.length > 200 || !text.startsWith('{')) return
  if (/^\{ ?\d{1,6} ?[*%] ?\d{1,6} ?\}$/.test(text) || /^\{\$smarty\.\w/.test(text)) {
    likely(subject, 'ssti.single-brace', 0.78, text.slice(0, 40))
  } else if (/^\{\{ ?\.\w* ?\}\}\{\{|\{\{ ?(?:printf? "|call \.|\.\w+ "|html \.|js \.)/.test(text)) {
    likely(subject, 'ssti.go-template', 0.77, text.slice(0, 40))
  } else if (/^\{\{#(?:with|each|lookup) .{1,40} as \|\w/.test(text)) {
    likely(subject, 'ssti.handlebars', 0.78, text.slice(0, 40))
  }
}

/** Each expression's inside, up to its closing brace or 400 characters. */
function addExpressionSigns (subject: Subject): void {
  OPEN.lastIndex = 0
  for (let count = 0; ; count++) {
    const match = OPEN.exec(subject.flat)
    if (match === null) return
    if (count >= EXPRESSIONS_MAX) return leftOut(subject, `expressions beyond the ${EXPRESSIONS_MAX}th`)
    const from = OPEN.lastIndex
    const ahead = subject.flat.slice(from, from + INSIDE_CHARACTERS_MAX)
    const close = ahead.indexOf(match[0] === '{%' ? '%}' : '}')
    if (close === -1 && ahead.length === INSIDE_CHARACTERS_MAX) {
      leftOut(subject, `an expression beyond ${INSIDE_CHARACTERS_MAX} characters`)
    }
    const before = subject.signs.length
    addInterpolationSigns(subject, match[0], close === -1 ? ahead : ahead.slice(0, close))
    dropRepeatedSigns(subject.signs, before)
  }
}

const TEMPLATE_OBJECT = sequence([
  /^ ?/,
  [
    /config|settings|self|request|debug|dump(?:\(\w*\))?|env|app|this|\$smarty[\w.]*|_self|session|range/,
    /user|secret\w*|php_\w+|class|flag|(?:application|session|request|page)scope|pagecontext|initparam/,
    /facescontext/
  ],
  / ?$/
])

function addInterpolationSigns (subject: Subject, open: string, raw: string): void {
  // `${{7*7}}` is two openings for one expression.
  const inside = raw.startsWith('{') ? raw.slice(1) : raw
  const whole = open + inside.slice(0, 60)
  if (DEEP.test(inside) && REACH.test(inside)) return certain(subject, 'ssti.reach', whole)
  if (ARITHMETIC.test(inside)) return certain(subject, 'ssti.arithmetic', whole)
  if (open === '{%') {
    return likely(
      subject,
      'ssti.statement',
      /\b(?:if|for|set|import|include|extends|block|raw|debug|print|with|macro)\b/.test(inside) ? 0.77 : 0.6,
      whole
    )
  }
  if (open === '{php') return likely(subject, 'ssti.php-tag', 0.8, whole)
  if (open === '{#' || open.startsWith('{/') || open === '{if') return
  if (CALL.test(inside)) return likely(subject, 'ssti.call', 0.78, whole)
  if (open === '@{' && /^ ?\[/.test(inside)) return certain(subject, 'code.perl-interpolation', whole)
  if (open === '#{' && /[.(]/.test(inside)) return likely(subject, 'ssti.interpolation', 0.7, whole)
  if (TEMPLATE_OBJECT.test(inside) || /^[\s\w"'.[\]()]{0,24}["'\d] ?[*+] ?["'\d]/.test(inside)) {
    return likely(subject, 'ssti.object', isPlaceholder(subject, open, inside) ? 0.3 : 0.77, whole)
  }
  weak(subject, 'ssti.braces', open === '{{' || open === '${' ? 0.2 : 0.1, whole)
}

/**
 * `Dear {{user}}, ...`: an object's bare name among other words is a place to be filled in; alone it asks
 * what is there.
 */
function isPlaceholder (subject: Subject, open: string, inside: string): boolean {
  return /^ ?(?:this|env|app|user|session|range|class|request) ?$/.test(inside) &&
    subject.flat.trim().length > open.length + inside.length + 2
}

/** As long as a window of inspection: nothing is left out. */
const LOOKUP_CHARACTERS_MAX = 65_536

/**
 * `${jndi:...}` under any nesting of `${lower:j}`, `${::-j}`, `${env:X:-j}`: inner lookups are resolved from
 * the inside out, in one pass over a stack.
 */
export function resolveLookups (text: string): string {
  const stack: string[] = ['']
  const bounded = text.length > LOOKUP_CHARACTERS_MAX ? text.slice(0, LOOKUP_CHARACTERS_MAX) : text
  for (let at = 0; at < bounded.length; at++) {
    const letter = bounded.charAt(at)
    if (letter === '$' && bounded.charAt(at + 1) === '{' && stack.length < 32) {
      stack.push('')
      at++
    } else if (letter === '}' && stack.length > 1) {
      const inside = stack.pop() as string
      stack[stack.length - 1] += resolveOne(inside)
    } else stack[stack.length - 1] += letter
  }
  while (stack.length > 1) {
    const rest = stack.pop() as string
    stack[stack.length - 1] += '${' + rest
  }
  return stack[0] as string
}

function resolveOne (inside: string): string {
  if (/^\s*jndi/i.test(inside)) return '${' + inside + '}'
  const fallback = inside.lastIndexOf(':-')
  if (fallback !== -1) return inside.slice(fallback + 2)
  const shift = /^(?:lower|upper|date):'?(.{0,40}?)'?$/i.exec(inside)
  return shift !== null ? shift[1] as string : '${' + inside + '}'
}

const LOG4J_LOOKUP = sequence([
  /\$\{/,
  [
    /::-/,
    sequence([
      [
        /lower|upper|env|sys|date|main|ctx|base64|k8s|docker|spring|bundle|marker|java|web|log4j|sd|script/,
        /dns|url/
      ],
      /:/
    ])
  ]
])

function addLookupSigns (subject: Subject): void {
  if (/\bjndi:(?:ldaps?|rmi|dns|iiop|nis|corba|nds):|lbracejndi:/.test(subject.flat)) {
    likely(subject, 'log4shell.jndi', 0.84, 'jndi:')
  }
  if (!subject.text.includes('${')) return
  const resolved = resolveLookups(subject.flat)
  const jndi = /\$\{ ?jndi ?:|(?:^|[${])jndi:(?:ldaps?|rmi|dns|nis|iiop|corba|nds|http):/.exec(resolved)
  if (jndi !== null) return certainAnywhere(subject, 'log4shell.jndi', resolved.slice(jndi.index, jndi.index + 60))
  if (LOG4J_LOOKUP.test(subject.flat)) {
    likely(
      subject,
      'log4shell.lookup',
      /\$\{[^}]*\$\{/.test(subject.flat.slice(0, 512)) ? 0.84 : 0.78,
      subject.flat.slice(0, 60)
    )
  }
}

function addServerTagSigns (subject: Subject): void {
  const at = subject.flat.indexOf('<%')
  const inside = subject.flat.slice(at + 2, at + 300)
  if (REACH.test(inside) || /^= ?\d+ ?[*+-] ?\d+/.test(inside)) {
    certain(subject, 'ssti.server-tag', subject.flat.slice(at, at + 60))
  } else likely(subject, 'ssti.server-tag', 0.77, subject.flat.slice(at, at + 60))
}
