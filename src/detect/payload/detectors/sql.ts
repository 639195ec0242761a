import { anyOf, sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { certain, certainAnywhere, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { WORD } from '../words.ts'
import { tokenizeSql } from './sql-tokens.ts'
import { SQL_ATTACK_FUNCTIONS } from './sql-words.ts'
import type { SqlContext, SqlTokens } from './sql-tokens.ts'

/**
 * SQL injection. The value is read as SQL in up to three contexts (as it stands, inside ' and inside "), and
 * the string of token types is judged: what breaks out, what it goes on with, how it ends. Words alone never
 * accuse. Idea: libinjection's fingerprints (N. Galbreath, 2012); tokens, patterns and grades are our own.
 */
export function detectSql (subject: Subject): void {
  const { characters, words } = subject
  const quotes = characters & (CHAR.quote | CHAR.doubleQuote | CHAR.backtick)
  // `/*!50000union*/`: the number hides the word.
  const strong = words & (WORD.sqlStatement | WORD.sqlFunction | WORD.sqlName) ||
    ((characters & CHAR.star) !== 0 && subject.text.includes('/*!') ? WORD.sqlStatement : 0)
  if (quotes === 0 && addUnquotedSigns(subject)) return
  if (
    quotes === 0 && strong === 0 && (words & WORD.sqlLogic) === 0 &&
    ((characters & (CHAR.pipe | CHAR.ampersand)) === 0 || (characters & CHAR.equals) === 0)
  ) {
    return
  }
  if ((words & (WORD.sqlName | WORD.sqlFunction)) !== 0 && BARE_NAME.test(subject.flat)) {
    return likely(subject, 'sqli.catalog-name', 0.76, subject.flat)
  }
  const symbols = characters &
    (CHAR.paren | CHAR.equals | CHAR.semicolon | CHAR.dash | CHAR.hash | CHAR.star | CHAR.less |
      CHAR.greater | CHAR.pipe | CHAR.ampersand | CHAR.comma | CHAR.plus | CHAR.at)
  if (
    quotes === 0 && symbols === 0 && !COMPARES_WORDS.test(subject.flat) &&
    (strong === 0 || (characters & CHAR.space) === 0)
  ) {
    return
  }
  const before = subject.signs.length
  const text = (characters & CHAR.nonAscii) === 0 ? subject.text : subject.text.replace(WIDE_BLANKS, ' ')
  const plain = tokenizeSql(text, '')
  addSqlSigns(subject, plain, '')
  if (found(subject, before)) return
  if ((characters & CHAR.quote) !== 0) addSqlSigns(subject, tokenizeSql(text, "'"), "'")
  if (found(subject, before)) return
  if ((characters & CHAR.doubleQuote) !== 0 && !isQuotation(subject.flat)) {
    addSqlSigns(subject, tokenizeSql(text, '"'), '"')
  }
  if (found(subject, before)) return
  if ((characters & CHAR.backtick) !== 0) addSqlSigns(subject, tokenizeSql(text, '`'), '`')
}

/** Blanks of Unicode that databases skip like any other. */
const WIDE_BLANKS = /[\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]/g
/** A comparison that needs no symbol: `1 or 1 is not null`. */
const COMPARES_WORDS =
  /^\W{0,3}(?:\d+|null|true|false)\W{0,3} (?:x?or|and) .{0,40}\b(?:is|like|between|in|regexp|rlike|glob|not)\b/

/** Inches, and phrases that a person put in quotes: each mark opens before a word and closes after one. */
const INCHES = /^[^"]*\d"(?:[^"]*\d"(?= |$|,|x))*[^"]*$/
const QUOTED = sequence([
  /^[^"]*/,
  /(?:(?:^|[ (&=,:/?-])"(?:[a-z0-9\u0080-\uffff](?:[^"=()|+;<>]*[^"=()|+;<>\s])?|[^\w"])"(?=$|[ ),.!?&:-])[^"]*)+/,
  /$/
])

function isQuotation (text: string): boolean {
  return text.length < 400 && !/--|#|\/\*|[=();|<>]/.test(text.replace(/[a-z_]=|&/g, '')) &&
    !/\b(?:union|select|sleep)\b/.test(text) && (QUOTED.test(text) || INCHES.test(text))
}

function found (subject: Subject, before: number): boolean {
  for (let at = before; at < subject.signs.length; at++) {
    if ((subject.signs[at] as { grade: string }).grade === 'certain') return true
  }
  return false
}

/** A name of a catalog or of a system procedure that fills the value. */
const BARE_NAME = sequence([
  /^\W{0,3}(?:exec(?:ute)? )?/,
  [
    /information_schema|sysobjects|syscolumns|sysdatabases|sysusers|tempdb|msdb|northwind|msdasql/,
    /msys\w{3,20}|mysql\.db|sqlite_master|pg_catalog|schema_name|table_name|column_name|all_tables/,
    /user_tables|xp_\w{4,}|sp_(?:executesql|password|oacreate|configure|makewebtask|addextendedproc)/,
    /utl_(?:http|file|inaddr|smtp|tcp)|dbms_\w{3,}|openrowset|opendatasource|waitfor delay/
  ],
  /\W{0,3}$/
])

const LEADING_CONDITION = anyOf([
  /^\W{0,2}(?:x?or|and) (?:not )?(?:\d{1,12}|true|false|null)\W{0,3}$/,
  /^\W{0,2}-?\d+\)* (?:x?or|and) (?:not )?(?:true|false|null|\d+ (?:not|is|like|between|in)\b)/
])

const POSTGRES_CAST = sequence([
  /[\w)] ?:: ?/,
  [
    /int\d?|integer|text|jsonb?|double precision|numeric|varchar|bool(?:ean)?|char|bigint|bytea|regclass/
  ],
  /$/
])

/**
 * Values without a quote that are an SQL expression from end to end: a comparison of literals, arithmetic cut
 * off by a comment, a cast.
 */
function addUnquotedSigns (subject: Subject): boolean {
  const { flat, characters } = subject
  if (flat.length > 200 || subject.document || subject.kind === 'cookie' || subject.kind === 'header') return false
  if (/^(?:\w+,)?(\d+) ?(?:=|<=>|!=|like|is(?: not)?|(?:not )?(?:regexp|rlike|glob)) ?\d+$/.test(flat)) {
    likely(subject, 'sqli.comparison', 0.77, flat)
  } else if (LEADING_CONDITION.test(flat)) likely(subject, 'sqli.leading-condition', 0.78, flat.slice(0, 50))
  else if (
    /^[\s(+-]*[\d.@][\w\s()+*/%@.-]*$/.test(flat) && endsInComment(flat) && !/[a-z]\d/.test(flat) &&
    /(?:--|\/\*)(?<=[)*+/%a-z] {0,2}[\w)(]* *..)|--(?<=\) *--)/.test(flat) && /[()*+/%]|or|and/.test(flat)
  ) {
    likely(subject, 'sqli.expression', 0.77, flat.slice(0, 60))
  } else if (
    (characters & CHAR.colon) !== 0 &&
    POSTGRES_CAST.test(flat) &&
    flat.length < 80
  ) {
    likely(subject, 'sqli.cast', 0.77, flat)
  } else if (/\d\.e ?[.(]/.test(flat)) likely(subject, 'sqli.number-trick', 0.78, flat.slice(0, 50))
  else if (isDelay(flat)) likely(subject, 'sqli.delay', 0.78, flat)
  else if (
    /^(?:(?:is )?(?:not )?(?:null|like|rlike|regexp)|x?or|like null|[a-z_]\w*\((?:[\w,. -]|\w+\(\)){0,40}\))$/
      .test(flat)
  ) {
    weak(subject, 'sqli.bare-operator', 0.12, flat)
  } else return false
  return true
}

/** What ends in a comment's mark: `--` with blanks and signs behind it, or an open block. */
function endsInComment (flat: string): boolean {
  if (flat.endsWith('/*')) return true
  let end = flat.length
  while (end > 0 && /[\s+-]/.test(flat.charAt(end - 1))) end--
  return flat.includes('--', end)
}

/** A function that only a database has, called with plain arguments, and nothing else. */
function isDelay (flat: string): boolean {
  const call = /^([a-z_]{3,24})\([\d., ]{1,16}\)$/.exec(flat)
  return call !== null && SQL_ATTACK_FUNCTIONS.has(call[1] as string)
}

type Grade = 'certain' | 'likely'

interface Pattern {
  rule: string
  /** Over token letters. A leading `B` stands for the break-out, which the judge checks on its own. */
  pattern: RegExp
  /** Grade when the value breaks out of its place first, and when it does not. */
  broken: Grade | number
  whole: Grade | number
}

/**
 * Token structures. q is left out before matching. Values between 0 and 1 are `likely`; below 0.4 `weak`.
 * A value is `broken` when it starts as data that a quote, a parenthesis, a number or a comment then ends.
 */
const PATTERNS: Pattern[] = [
  {
    rule: 'sqli.union-select',
    pattern: /U[vk(]{0,4}E(?:k|o|[(*n@sSfFx+c]|v[,.kcn]|$)/,
    broken: 'certain',
    whole: 'certain'
  },
  { rule: 'sqli.union-select', pattern: /U[vk(]{0,4}Ev{1,3}kv/, broken: 'certain', whole: 0.8 },
  {
    rule: 'sqli.stacked-statement',
    pattern: /[snv)]?;{1,3}[()]{0,6}(?:E[(ns*fF@ko+]|Ev[,.k]|F|T[EF])/,
    broken: 'certain',
    whole: 0.7
  },
  {
    rule: 'sqli.subselect',
    pattern: /[=&|+(,o!f]\({0,6}E(?:[(*n@sSfFxok+]|v[,k.n@(f])/,
    broken: 'certain',
    whole: 0.76
  },
  { rule: 'sqli.attack-function', pattern: /[=&|+(,ok;E!f]\({0,6}F/, broken: 'certain', whole: 0.8 },
  { rule: 'sqli.attack-function', pattern: /^s\)*\.?F/, broken: 0.84, whole: 0.5 },
  { rule: 'sqli.open-select', pattern: /[=o+|,]\(E$/, broken: 0.84, whole: 0.77 },
  { rule: 'sqli.leading-call', pattern: /^,\(*[fFE]/, broken: 0.77, whole: 0.77 },
  { rule: 'sqli.tautology', pattern: /[&|](?:!|\(){0,6}[ns@]\){0,6}!?[=o+]{1,2}[c;]?$/, broken: 0.8, whole: 0.4 },
  { rule: 'sqli.condition', pattern: /^s\)*[&|]\(*!?x(?:[=o+)]|$)/, broken: 0.82, whole: 0.4 },
  { rule: 'sqli.condition', pattern: /^[ns]\)*[&|]\(*!?x[=o]/, broken: 0.82, whole: 0.4 },
  { rule: 'sqli.package-call', pattern: /[=&|+(,](?:v\.|x\.){1,3}[fF]|[=&|+(,]x\.v\(/, broken: 0.84, whole: 0.6 },
  {
    rule: 'sqli.json-operator',
    pattern: /[&|!]\({0,6}s(?:\?[+&|]{0,2}|@=|=@)(?:[sSv])/,
    broken: 'certain',
    whole: 0.78
  },
  {
    rule: 'sqli.tautology',
    pattern: /[&|](?:!|\(|\+){0,6}[ns@]\){0,6}!?[=o][+(!ok]{0,6}[ns@Sf]/,
    broken: 'certain',
    whole: 0.8
  },
  {
    rule: 'sqli.tautology',
    pattern: /[&|](?:!|\(){0,6}f[f()n,+]{0,16}[=o][+(]{0,6}[nsSf]/,
    broken: 'certain',
    whole: 0.78
  },
  { rule: 'sqli.tautology', pattern: /[&|]\({0,6}(?:[nsv@]\+){1,6}[nsv@]\){0,6}=/, broken: 'certain', whole: 0.78 },
  { rule: 'sqli.tautology', pattern: /^[ns]\)+[&|]\(+!?[ns]$/, broken: 0.82, whole: 0.5 },
  {
    rule: 'sqli.leading-condition',
    pattern: /^[&|]\({0,6}[vfFn@][^&|;]{0,12}=|^[&|]\({0,6}n[=o]\({0,6}$/,
    broken: 0.76,
    whole: 0.76
  },
  { rule: 'sqli.condition', pattern: /^n\){0,6}[&|]\({0,6}v=v/, broken: 0.76, whole: 0.5 },
  {
    rule: 'sqli.condition',
    pattern: /[&|](?:!|\(){0,6}[vfF][^&|;]{0,12}[=o][+(!]{0,6}[nsSfF@(]/,
    broken: 0.84,
    whole: 0.35
  },
  { rule: 'sqli.condition-call', pattern: /[&|]\({0,6}[fF]/, broken: 0.84, whole: 0.35 },
  { rule: 'sqli.order-by-count', pattern: /[ns)]kkn(?:,n){0,40}(?:c|$)/, broken: 'certain', whole: 0.7 },
  { rule: 'sqli.clause', pattern: /[sn)]k(?:n|s|v)=(?:n|s|S)/, broken: 'certain', whole: 0.6 },
  { rule: 'sqli.concatenation', pattern: /s(?:\|\||\||\+)\({0,6}[fFE(]/, broken: 0.84, whole: 0.5 }
]

function addSqlSigns (subject: Subject, tokens: SqlTokens, context: SqlContext): void {
  const types = tokens.types.includes('q') ? tokens.types.replaceAll('q', '') : tokens.types
  if (types === '') return
  const broken = breaksOut(types, context)
  for (const entry of PATTERNS) {
    const match = entry.pattern.exec(types)
    if (match === null || (entry.rule === 'sqli.condition' && /=(?:\|\||&&)/.test(subject.text))) continue
    const prose = !broken && entry.whole === 'certain' && !UNITES.test(subject.flat)
    report(subject, entry.rule, broken ? entry.broken : prose ? 0.6 : entry.whole, tokens, match.index)
  }
  if (context !== '') addQuoteBreakSigns(subject, types, tokens)
  else addStatementSigns(subject, types, tokens)
  addCommentSigns(subject, tokens, types, broken)
  addStackedSigns(subject, broken || context !== '')
}

/** Nothing but ALL, DISTINCT, parentheses and comments stands between UNION and SELECT. */
const UNITES = /\bunion(?:[^a-z]|all|distinct(?:row)?)*select/

const STACKED = anyOf([
  sequence([
    // From the first of a run of semicolons: from each of them the run would be read again.
    /(?<!;[\s()]*);[\s();]*/,
    [
      sequence([
        /(?:drop|alter|create|truncate)(?: or replace)? /,
        [
          /table|database|schema|view|index|function|procedure|user|login|trigger|role/
        ],
        /\b/
      ]),
      /insert into\b|delete (?:\w+ )?from\b|load (?:xml|data|file)\b|update \S{1,60} set\b/,
      /exec(?:ute)?(?: ?\(|(?: immediate)? (?:xp_|sp_|master\b|@|['"]))|declare @|waitfor (?:delay|time)\b/,
      /shutdown(?: with\b| ?(?:;|--|$))|call \w+ ?\(|begin \w[\w.]* ?\(|begin goto\b|if ?\( ?[^\s;]+ ?=/,
      /print ?['"@]|set @\w|grant \w+ (?:on|to)\b|handler \w+ open\b|rename table\b|load data\b/,
      /copy \w+ (?:from|to)\b|vacuum\b|attach database\b/
    ]
  ]),
  /\bwaitfor delay ?['"(@]|\binto (?:out|dump)file ?(?:['"@(]|0x|\w{2,20} ?\()/,
  /\bdeclare @\w+ (?:n?varchar|int|char)\b|\bxp_cmdshell\b ?['"(]|^\W{0,3}goto \w+ .{0,40}\bdeclare @/
])

/** A second statement in the words that only statements have; blanks may be comments. */
function addStackedSigns (subject: Subject, broken: boolean): void {
  if ((subject.words & (WORD.sqlStatement | WORD.sqlName)) === 0) return
  const text = subject.flat.includes('/*') ? subject.flat.replace(/\/\*[^*]{0,80}\*\//g, ' ') : subject.flat
  const match = STACKED.exec(text)
  if (match === null) return
  const head = text.slice(0, match.index)
  const breaks = /^[^a-z]{0,6}\w{0,24}["'`)\]%\s]*$/.test(head) && broken
  breaks
    ? certain(subject, 'sqli.stacked-statement', match[0])
    : likely(subject, 'sqli.stacked-statement', head.length < 60 ? 0.8 : 0.6, match[0])
}

/** The value begins as data (a literal) that ends, and SQL goes on: `1 or`, `1) and`, `x' or`, `-1 union`. */
function breaksOut (types: string, context: SqlContext): boolean {
  if (context !== '') return /^s(?:[)]*(?:[&|;=+oUETck,]|$))/.test(types) || /^s\)+/.test(types)
  return /^\+?[ns]\)*[&|;=+oUETk)]/.test(types) || /^[)]/.test(types)
}

function report (subject: Subject, rule: string, grade: Grade | number, tokens: SqlTokens, index: number): void {
  const from = tokens.starts[Math.min(index, tokens.starts.length - 1)] ?? 0
  const match = subject.text.slice(from, from + 60)
  if (grade === 'certain') startsBroken(subject) ? certainAnywhere(subject, rule, match) : certain(subject, rule, match)
  else if (grade === 'likely') likely(subject, rule, 0.78, match)
  else likely(subject, rule, grade, match)
}

const BROKEN_START = sequence([
  /^[^a-z]{0,16}[a-z]{0,12}[^a-z]{0,8}["'`)\d]\W{0,12}/,
  [
    /and|or|xor|union|having|order|where|as|in|rlike|like|select|procedure|waitfor|;|[|&+*=,]/
  ]
], 'i')

/** A long payload reads like a document; one that leaves its literal within its first characters is none. */
function startsBroken (subject: Subject): boolean {
  return BROKEN_START.test(subject.text.slice(0, 96)) || /^-?\d+\W/.test(subject.text)
}

/**
 * The rest of the application's own query, or a few characters of noise, stands behind a comment that
 * ends an injection.
 */
const COMMENT_REST_MAX = 10

/**
 * Inside a quote: the string closes, an operator follows, and another opens that the application's own quote
 * will close.
 */
function addQuoteBreakSigns (subject: Subject, types: string, tokens: SqlTokens): void {
  if (
    /^[^"'`]*["'`](?:[\s)]|\W|in\b)/.test(subject.text) &&
    /^s\)*(?:[&|]|o|=|!o)[!(]*(?:[snv@]|f[^;]{0,20}\))?\)*(?:[=o+]\(*)?S/.test(types)
  ) {
    const word = /^s\)*[o!&]/.test(types) && !/^s\)*[&o!]\(*S$/.test(types)
    report(subject, 'sqli.quote-operator', word && !/=/.test(types) ? 0.78 : 0.82, tokens, 1)
  }
  if (/^s\)*[+|!]+\(*(?:S|\(|f|F|E|@)/.test(types) && subject.text.length < 400) {
    report(subject, 'sqli.quote-arithmetic', 0.76, tokens, 1)
  }
  if (
    /^s\)*[&|o=+!k][&|o=+!()nsv@fk,.x]{0,16}S$/.test(types) && /[&|o=]/.test(types) &&
    subject.text.length < 120 && !types.includes('vv')
  ) {
    report(subject, 'sqli.quote-operator', 0.78, tokens, 1)
  }
  if (/^s\)*\+\(*[vfn@x]\)*\+S$/.test(types) && /^[^'"]*['"]\)* ?[*/^]/.test(subject.text)) {
    report(subject, 'sqli.quote-arithmetic', 0.77, tokens, 1)
  }
  if (
    /^s\)*[&|o=+!k]+[vfn@x()+!o]{1,12}[c;]$/.test(types) &&
    subject.text.length - (tokens.starts.at(-1) ?? 0) <= COMMENT_REST_MAX && !types.includes('vvv')
  ) {
    report(subject, 'sqli.quote-comment', 0.8, tokens, 1)
  }
  if (text40(subject) && /^s\)*[&|][(!]*(?:[nv@]?=|[nsS]?)$/.test(types)) {
    report(subject, 'sqli.quote-logic', 0.77, tokens, 1)
  }
  if (
    /^s\)*(?:U[vk(]{0,3}E|U[(ckUns]|Uv?$|E|T[kvx]?\+?$|k[^v&]{0,3}k)/.test(types) && text40(subject) &&
    oddQuotes(subject.text) && !PHRASE.test(subject.flat)
  ) {
    report(subject, 'sqli.quote-statement', 0.77, tokens, 1)
  }
  if (/^s[);]*c$/.test(types)) report(subject, 'sqli.quote-comment', commentGrade(subject), tokens, 1)
  if (/^s\)*;(?:c|$)/.test(types) && types.length <= 5) {
    likely(subject, 'sqli.quote-end', 0.5, subject.text.slice(0, 40))
  }
  if (/^s\)+[&|]/.test(types)) likely(subject, 'sqli.quote-parenthesis', 0.8, subject.text.slice(0, 40))
}

/** An opening quote before four words or more that no statement is made of. */
const PHRASE = /^['"`](?!.*\b(?:union|select|insert|drop|group by|order by)\b)[a-z]+(?: [a-z]+){3,}$/

const text40 = (subject: Subject): boolean => subject.text.length < 60

function oddQuotes (text: string): boolean {
  return text.split("'").length % 2 === 0 || text.split('"').length % 2 === 0
}

function commentGrade (subject: Subject): number {
  // `admin'--` ends a query; `dogs' -- said` is prose: nothing but blanks may follow the marker.
  if (endsAfterPhrase(subject.flat)) return 0.45
  return /['"`][\s);]*(?:--\s*[\w+]{0,8}|#|\/\*)\s*$/.test(subject.text.slice(-24)) ? 0.85 : 0.45
}

/** Three words in a row stand before a blank and the quote behind which nothing but signs follows. */
function endsAfterPhrase (flat: string): boolean {
  let end = flat.length
  while (end > 0 && !/\w/.test(flat.charAt(end - 1))) end--
  const quote = flat.slice(end).search(/['"`]/) + end
  if (quote < Math.max(1, end) || flat.charAt(quote - 1) !== ' ') return false
  const phrase = flat.slice(0, quote - 1)
  const from = Math.max(phrase.lastIndexOf("'"), phrase.lastIndexOf('"'), phrase.lastIndexOf('`')) + 1
  return /[a-z] [a-z]+ [a-z]/.test(phrase.slice(from))
}

const STATEMENT_START = sequence([
  /^\W*/,
  [
    /insert into|drop (?:table|database|function|view)|delete from|update \S{1,40} set|truncate table/,
    /alter table|create (?:table|or replace|user|function|database)/
  ],
  /\b/
])

/** Statements and calls without a break-out: whole queries, fragments, bare attack functions. */
function addStatementSigns (subject: Subject, types: string, tokens: SqlTokens): void {
  const short = subject.text.length <= 200
  if (/^[(+]*F/.test(types)) report(subject, 'sqli.attack-call', /\)v/.test(types) || !short ? 0.45 : 0.78, tokens, 0)
  if (/^[(]*E(?:[*nsf(@x+]|v[,.k+]|v$)[^;]{0,200}k(?:v|x|\(|s)/.test(types)) {
    report(subject, 'sqli.select-from', /^\W{0,3}\(|\0/.test(subject.text) ? 0.76 : 0.6, tokens, 0)
  }
  if (/^[(]*Ef/.test(types) || /^[(]*E@/.test(types)) {
    report(
      subject,
      'sqli.select-call',
      /^select count\(\*\) from \w+/.test(subject.flat) ? 0.6 : 0.76,
      tokens,
      0
    )
  }
  addFragmentSigns(subject, types)
  if (/^\(*n=n\)+\+n|^o\(n(?:,n)+\)?$/.test(types)) likely(subject, 'sqli.comparison', 0.77, subject.text.slice(0, 50))
  if (/^n[+|]\(*(?:n[+]\(*)?f[fvkns(,)+]*\)/.test(types)) {
    likely(subject, 'sqli.arithmetic-call', 0.77, subject.text.slice(0, 50))
  }
  if (/^v?k\(?n&n|^v[&]\(*\+?n\)*=\(*\+?n/.test(types)) {
    likely(subject, 'sqli.tautology', 0.77, subject.text.slice(0, 50))
  }
  if (/^f(?:f)/.test(types)) likely(subject, 'sqli.nested-call', 0.76, subject.text.slice(0, 60))
  if (
    /^\W{0,3}[a-z_0-9]{2,30} ?\([^\w)]{0,3}$/.test(subject.flat) && /^[+=;&|]*(?:[fF]|[koT]\()/.test(types)
  ) {
    likely(subject, 'sqli.open-call', 0.76, subject.text.slice(0, 40))
  }
  if (
    types.length < 200 && /^[(ns@fFEo&|+=!k),.]{3,}c$/.test(types) && /[fFEo&+]/.test(types) &&
    !/^[(s]{1,2}c$/.test(types)
  ) {
    likely(subject, 'sqli.expression', 0.77, subject.text.slice(0, 60))
  }
  if (/\(s?[vk]?\)?E|xk|kx|x\.x|x\./.test(types) && (subject.words & WORD.sqlName) !== 0) addSqlNameSigns(subject)
  if (
    /^[(]*T[kv]{1,3}(?:\(|kv=|s|v=|$)/.test(types) &&
    STATEMENT_START.test(subject.flat)
  ) {
    const bare =
      /^(?:delete from|insert into|create table|truncate table) [a-z]+(?: [a-z]+)?$/.test(subject.flat) &&
      subject.text === subject.flat
    report(subject, 'sqli.statement', bare ? 0.5 : 0.76, tokens, 0)
  }
}

/** Clauses that only SQL has, wherever the value was cut. */
function addFragmentSigns (subject: Subject, types: string): void {
  const text = subject.flat.length > 400 ? subject.flat.slice(0, 400) : subject.flat
  addStatementFragmentSigns(subject, text, types)
  if (/^-?\d+['")]{0,4} (?:update \w{1,40} set\b|insert into|delete from|drop table|exec )/.test(text)) {
    likely(subject, 'sqli.statement-tail', 0.82, text.slice(0, 50))
  }
  if (subject.flat.length > 400) return
  if (/["'`)] ?as \W?\w{1,40}\W? from\b/.test(text)) likely(subject, 'sqli.alias-from', 0.77, text.slice(0, 50))
  if (/\bcase when \(?\d+ ?[=<>]/.test(text)) likely(subject, 'sqli.case-when', 0.82, text.slice(0, 50))
  if (/['")\w] ?:: ?(?:int\d?|text|jsonb?|double precision|numeric|varchar|bool|char|bigint)\b/.test(text)) {
    likely(subject, 'sqli.cast', 0.77, text.slice(0, 50))
  }
  if (
    /^[\W_]{0,4};[\s;]?(?:select|insert|drop|alter|truncate|update|delete|exec|execute|declare|create|shutdown)\b/
      .test(text)
  ) {
    likely(subject, 'sqli.stacked-start', 0.76, text.slice(0, 50))
  }
  if (
    /^\W{0,3}(?:values ?\(.{0,40}['"]|concat(?:_ws)? ?\( ?0x|execute immediate\b|from `|drop \w+ ?; ?--)/
      .test(text)
  ) {
    likely(subject, 'sqli.fragment', 0.76, text.slice(0, 50))
  }
  if (
    /^\+?[ns]c?\){0,4}U[Uc]{0,8}$/.test(types) && text.length < 80 &&
    (/[#\-/]/.test(text.slice(1)) || /^-\d+ union$/.test(text))
  ) {
    likely(subject, 'sqli.union', 0.76, text.slice(0, 50))
  }
  if (/^@{1,2}\w{1,30} ?(?:--|#|\/\*)|^exec(?:ute)? ?\( ?@/.test(text) || /^f\)[o=]f\)$/.test(types)) {
    likely(subject, 'sqli.fragment', 0.76, text.slice(0, 50))
  }
  if (/^ ?(?:x?or|and) \d{1,12} ?(?:[<>=-]{1,2} ?)?$/.test(text)) likely(subject, 'sqli.leading-condition', 0.76, text)
  if (/^E(?:s|@)/.test(types) || /^select (?:0x[0-9a-f]+|@@?\w|null\b)/.test(text)) {
    likely(subject, 'sqli.select-value', 0.76, text.slice(0, 50))
  }
  if (
    /^\W{0,3}(?:union(?: all)? select|having \(?\d+ ?=|order by \d+ ?(?:--|#|$)|group by .{1,40} having)/
      .test(text)
  ) {
    likely(subject, 'sqli.leading-clause', 0.78, text.slice(0, 50))
  }
}

const UNION_SELECT = sequence([
  /(?:^|[^a-z])(?:union|except|intersect|minus)[ (]+(?:all |distinct )?\(?/,
  /(?:select[ (]+(?:\d|distinct|null|\w+[,(]|['"@*])|values ?\()/
])

/** Statements that need no break-out to be recognised: procedures, variables, cursors, queries with clauses. */
function addStatementFragmentSigns (subject: Subject, text: string, types: string): void {
  if (/\bdeclare @\w{1,30} n?varchar ?\(\d+\) ?[;, ] ?(?:set|select) ?@\w/.test(subject.flat)) {
    subject.signs.push({ rule: 'sqli.declared-code', grade: 'likely', value: 0.84, match: text.slice(0, 50) })
  }
  if (/^\W{0,3}(?:declare|set)(?: |\/\*[^*]{0,20}\*\/)@{1,2}[a-z_]\w*/.test(text)) {
    likely(subject, 'sqli.variable', 0.77, text.slice(0, 50))
  }
  if (
    /^\W{0,3}exec(?:ute)? (?:(?:\w+\.){0,2}(?:sp|xp|dbms|utl)_\w+|master\.)/.test(text) ||
    /^execute [a-z]+_\w*$/.test(text)
  ) {
    likely(subject, 'sqli.procedure', 0.78, text.slice(0, 50))
  }
  if (UNION_SELECT.test(text) || /(?:\d|union all|union distinct)\W{1,3}(?:union )?select \w+$/.test(text)) {
    likely(subject, 'sqli.union-select', 0.78, text.slice(0, 50))
  }
  if (/\bas ["'`][\w ]{0,30}["'`]? ?from\b/.test(text)) likely(subject, 'sqli.alias-from', 0.77, text.slice(0, 50))
  if (
    text.length < 200 &&
    /^\W{0,3}case (?:\w+ ?\([^)]{0,30}\) )?when\b.{1,60} then\b|\bwhen (?:\d+|'[^']{0,20}') then\b/.test(text)
  ) {
    likely(subject, 'sqli.case-when', 0.77, text.slice(0, 50))
  }
  if (
    /^if ?\( ?\d+ ?=|^if exists ?\( ?select\b|^\w{0,12}['")]{0,3}; ?if (?:exists|not exists|\()/.test(text)
  ) {
    likely(subject, 'sqli.if', 0.78, text.slice(0, 50))
  }
  if (/ (?:like|regexp|rlike|glob) ['"]$|^\) ?(?:like|in|regexp|rlike|glob) ?\(/.test(text)) {
    likely(subject, 'sqli.open-operator', 0.76, text.slice(-30))
  }
  if (
    (subject.kind === 'query' || subject.kind === 'form') && text.length < 300 &&
    /^\W{0,3}select .{1,120}?(?: from .{1,80})? (?:where|group by|having|limit|order by) \S/.test(text) &&
    /^[(]*E/.test(types)
  ) {
    likely(subject, 'sqli.query', 0.77, text.slice(0, 50))
  }
  if (
    /^(?:\w+['"]?\)? )?(?:x?or|and) ['"][^'"]{0,40}['"] ?(?:[<>=?]|$|like)/.test(text) && text.length < 100
  ) {
    likely(subject, 'sqli.leading-condition', 0.77, text.slice(0, 50))
  }
  if (/^\W{0,3}from \S{1,60} (?:where \S{1,60} ?[=<>]|group by \w+[&;])/.test(text)) {
    likely(subject, 'sqli.from-where', 0.77, text.slice(0, 50))
  }
  if (/^[/\\]?(?:delete from \w+ ?;|drop (?:table|database) \w+ ?;|create table \w+ ?\()/.test(text)) {
    likely(subject, 'sqli.statement', 0.78, text.slice(0, 50))
  }
}

const NAMES = sequence([
  /\b/,
  [
    /information_schema|sysobjects|syscolumns|sysibm|syscat|all_users|all_tables|all_tab_columns|user_tables/,
    /pg_catalog|pg_shadow|pg_user|sqlite_master|msysaces|msysobjects|rdb\$\w+|v\$version|sys\.\w{3,}/,
    /mysql\.user|master\.\.\w+|xp_\w{3,}|sp_(?:executesql|password|oacreate)/
  ],
  /\b/
])

function addSqlNameSigns (subject: Subject): void {
  const match = NAMES.exec(subject.flat)
  if (match !== null) likely(subject, 'sqli.catalog-name', 0.76, match[0])
}

/** Comments where blanks should be, and a comment that ends a break-out. */
function addCommentSigns (subject: Subject, tokens: SqlTokens, types: string, broken: boolean): void {
  if (tokens.types.includes('q') && /[UETF&k]/.test(types) && /\/\*/.test(subject.text) && !subject.document) {
    const version = subject.text.includes('/*!')
    const count = tokens.types.split('q').length - 1
    if (version || (count > 1 && /[UETFf]/.test(types))) {
      likely(subject, 'sqli.comment-as-blank', version ? 0.8 : 0.7, '/**/')
    }
  }
  if (broken && types.endsWith('c') && types.length > 3 && /[&|UETkoF]/.test(types)) {
    if (/^[sn]\)*[^v]/.test(types)) {
      ;/[UEF;]|[&|][^&|]{0,40}[=o]|^[sn]\)*(?:kk?|[&|])[nsv@]{0,2}c$/.test(types)
        ? likely(subject, 'sqli.comment-tail', 0.77, subject.text.slice(-20))
        : weak(subject, 'sqli.comment-tail', 0.3, subject.text.slice(-20))
    }
  } else if (types.length < 40 && types.endsWith('c') && /[&|oUEF]/.test(types.slice(types.lastIndexOf('v') + 1))) {
    weak(subject, 'sqli.comment-tail', 0.3, subject.text.slice(-20))
  }
}
