import { anyOf, sequence } from '../../std/regex.ts'
import { words } from '../../std/words.ts'
import { pairs, standsBefore, VALUE_START } from './rule.ts'
import type { RawRule } from './rule.ts'

/**
 * Rules for values that break into a query: of SQL, of document stores, of directories (LDAP), of XML (XPath). A
 * certain one has no ordinary reading in prose (raw-scan-corpus.test.ts).
 */

/**
 * Where a value is left: behind a quote, a digit or a closing parenthesis, or behind one short word that is all the
 * value holds so far.
 */
const LEAVES = standsBefore([[/['"\d)][\s)]{0,3}/, sequence([VALUE_START, /-?[\w.-]{0,20}\s/])]])
/** The same behind a quote, a digit or a closing parenthesis alone. */
const LEAVES_LITERAL = standsBefore([/['"\d)][\s)]{0,3}/])

const JOINS = [
  ...pairs(["'", '"', ')', ' '], ['or ', 'or(', "or'", 'or"', 'and ', 'and(', "and'", 'and"', 'xor ']),
  ...pairs(["'", '"', ')', "' ", '" ', ') ', '1 ', '1'], ['||', '&&'])
]
const LEADS = /['")\s\d]\s?/
const JOIN = /(?:x?or|and|\|\||&&)(?![a-z])/
/** What a join must go on with before it is worth to look at what stands before it. */
const COMPARES = /(?=(?:x?or|and|\|\||&&)[\s(!~+-]{0,4}(?:not[\s(]{1,3})?['"\d])/
const OPENS = /[\s(!~+-]{0,4}(?:not[\s(]{1,3})?/

/** A second selection that is joined to the query. */
const UNION: RawRule[] = [
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['union'],
    apartFromSql: true,
    before: LEAVES,
    pattern: sequence([/union\s?(?:all\s?|distinct\s?)?[\s(]{1,4}select\s?(?:all\s|distinct\s)?/, [
      /[('"@*\d]|null\b|0x|char\(|concat|[\w.$]{1,40}\s?(?:,|\(|\sfrom\b|\sas\b|--|#)/
    ]])
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['union'],
    apartFromSql: true,
    pattern: /union\s?(?:all\s?|distinct\s?)?[\s(]{1,4}select\s?(?:null|\d{1,6}|@@\w{1,20})\s?(?:,|--|#|from\b)/
  },
  {
    rule: 'sqli.raw',
    grade: 'likely',
    anchors: ['union'],
    apartFromSql: true,
    pattern: /union\s(?:all\s)?[(]{0,2}select\s[\w.*('"@]{1,40}\s?(?:,|from\b|--)/
  }
]

/** Conditions that are always true or never, and what ends the query behind them. */
const TAUTOLOGIES: RawRule[] = [
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: JOINS,
    apartFromSql: true,
    pattern: sequence([LEADS, COMPARES, LEAVES, JOIN, OPENS, [
      /(?<number>\d{1,10})[\s)]{0,3}(?:={1,3}|\slike\s)[\s(]{0,3}\k<number>(?!\d)/,
      /['"](?<word>\w{0,24})['"]?[\s)]{0,3}(?:={1,3}|\slike\s|\srlike\s)[\s(]{0,3}['"]\k<word>(?!\w)/,
      /\d{1,10}[\s)]{0,3}=[\s(]{0,3}\d{1,10}[\s)]{0,3}(?:--|#|\/\*|;|$|["&]|(?:and|or)\s)/,
      /\d{3,10}[\s)]{0,3}=[\s(]{0,3}\d{3,10}(?!\d)/,
      // A number that is compared with what the database says.
      /\d{1,10}\s?=\s?[\s(]{0,3}(?:like\s?\(|select\s|['"]\w{1,12}['"]\s?\|\||(?:ascii|substr|mid|length|case)\b)/
    ]])
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: JOINS,
    apartFromSql: true,
    pattern: sequence([LEADS, LEAVES_LITERAL, JOIN, OPENS, [
      /(?:true|1|'1')[\s)]{0,3}(?:--|#|\/\*)/,
      /select\s?[('"@*\d\w]{1,30}\s?[,()*]|exists\s?\(\s?select\s|select\s[\w.*]{1,40}\sfrom\s/,
      sequence([
        /(?:ascii|ord|substr|substring|mid|length|lower|hex|count|if|unicode|row|char_length|left|right)\s?\(\s?\(?/,
        [/select\s|substr|mid\(|user\(|database\(|version\(|@@|ascii\(|ord\(/]
      ])
    ]])
  },
  {
    // Two different numbers are compared by those who watch whether an answer changes.
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: [' or ', ' and ', ' where '],
    apartFromSql: true,
    pattern: /\s(?:or|and|where)\s(?:not\s)?\(?\d{3,10}\s?=\s?\d{3,10}(?![\w.])/
  },
  {
    rule: 'sqli.raw',
    grade: 'likely',
    anchors: [' or ', ' and '],
    apartFromSql: true,
    pattern: sequence([
      /\s(?:or|and)\s(?:not\s)?\(?/,
      /(?:(?<number>\d{1,10})\s?=\s?\k<number>(?![\w.])|'(?<word>\w{0,20})'\s?=\s?'\k<word>'?)/
    ])
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['order by ', 'group by ', 'having ', 'procedure analyse'],
    apartFromSql: true,
    before: LEAVES_LITERAL,
    pattern: anyOf([
      /(?:order|group)\sby\s\d{1,4}\s?(?:--|#|\/\*)/,
      /(?:group\sby\s[\w.,]{1,40}\s)?having\s\(?\d{1,5}\s?=\s?\d/,
      /procedure\sanalyse\s?\(/
    ])
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ["'--", "' --", "')--", "') --"],
    pattern: /(?<=[=:]\s?"?[\w@.-]{1,30})'\)?\s?--\s?-?(?=["&]|$)/
  },
  {
    rule: 'sqli.raw',
    grade: 'likely',
    anchors: ["'#", "' #", "'/*", "' /*", "')#"],
    pattern: /(?<=[=:]\s?"?[\w@.-]{1,30})'\)?\s?(?:#|\/\*)\s?(?=["&]|$)/
  }
]

/** A second statement behind the query. */
const STACKED: RawRule[] = [
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: [
      ...words('iif( exec shutdown select( if('),
      'begin ', 'call ', 'drop ', 'insert into', 'delete from', 'update ', 'truncate ', 'alter table', 'create ',
      'declare @', 'select ', 'waitfor delay', 'if ('
    ],
    apartFromSql: true,
    precededBy: ';',
    before: standsBefore([[/['"][\s)]{0,3}/, sequence([VALUE_START, /-?\w{0,16}[)\s]{0,4}/]), /\)(?=;\S)/], /;\s?/]),
    pattern: anyOf([
      /drop\s(?:table|database|schema|user|view)\s[\w."'`[\]]/,
      /insert\sinto\s[\w."'`[\]]{1,40}[\s(]/,
      /delete\sfrom\s[\w."'`[\]]{1,40}\s?(?:where\b|;|--|#|$|["&])/,
      /update\s[\w."'`[\]]{1,40}\sset\s[\w."'`[\]]{1,40}\s?=/,
      /truncate\s(?:table\s)?\w|alter\stable\s\w/,
      /create\s(?:or\sreplace\s)?(?:table|user|login|function|alias)\s[\w"'`]/,
      /begin\s(?:user_lock|dbms_lock|dbms_pipe)\.|call\s\w{1,40}\(|iif\(\s?\d{1,6}\s?=/,
      /exec(?:ute)?[\s(]{1,3}(?:master|xp_|sp_|'|"|@|immediate\b|cmdshell)|shutdown\s?(?:with\snowait)?\s?(?:--|;)/,
      /declare\s@\w{1,20}\s|waitfor\sdelay\s?['"(]?\d/,
      /select\s?\(?\s?(?:pg_sleep|sleep|benchmark|load_file|case\s|\*\s?from\b|count\(|[\w@,.*]{1,40}\sfrom\s)/,
      /if\s?\(\s?\(?\s?(?:select\s|\d{1,6}\s?=|user|substring|ascii|len\()/
    ])
  },
  {
    rule: 'sqli.raw',
    grade: 'likely',
    anchors: ['waitfor delay', 'xp_cmdshell', 'xp_dirtree', 'xp_fileexist', 'xp_regread'],
    pattern: /waitfor\sdelay\s?['"(]\d|xp_(?:cmdshell|dirtree|fileexist|regread)[\s('"[]/
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['waitfor delay', 'exec '],
    apartFromSql: true,
    pattern: sequence([standsBefore([[/['"\d)][ )]{0,3}/, VALUE_START]]), [
      /waitfor\sdelay\s?['"(]?\d/,
      /exec\s(?:master\.)?\.?(?:dbo\.)?xp_(?:cmdshell|dirtree|fileexist|regread)\b/
    ]])
  }
]

/** Calls and conditions that tell by how long they take. */
const TIMED: RawRule[] = [
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['sleep(', 'sleep ('],
    apartFromSql: true,
    before: anyOf([
      /(?<=['"\d)][\s)]{0,3}(?:and|x?or)[\s(]{1,3}(?:select[\s(]{1,3})?(?:pg_)?)/,
      /(?<=['"](?:[\s)]{0,3}(?:\|\||&&)\s?|[-+*])\(?(?:select[\s(]{1,3})?(?:pg_)?)/,
      /(?<=\(select[\s(]{1,3}(?:\*\s?from[\s(]{1,3}select[\s(]{1,3})?(?:pg_)?)/,
      /(?<=\s(?:and|or)[\s(]{1,3}(?:select[\s(]{1,3})(?:pg_)?)/
    ]),
    pattern: /sleep\s?\(\s?\d{1,4}(?:\.\d{1,3}|\s?\*\s?\d{1,3}|-\(?if\()?\s?\)/
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['if(', 'iif(', 'case when', 'elt(', 'make_set('],
    apartFromSql: true,
    pattern: anyOf([
      /if\([^()\n"]{1,40}(?:\(\)[^()\n"]{1,20})?,\s?(?:sleep|benchmark)\(\s?\d/,
      /case\swhen\s?\({0,4}\s?(?:\d{1,6}\s?=\s?\d{1,6}|select\s)\s?\){0,4}\sthen\s/,
      /(?:elt|make_set)\(\s?\d{1,6}\s?=\s?\d{1,6}\s?,/
    ])
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: words(`
      randomblob( regexp_substring( user_lock.sleep benchmark( pg_sleep( dbms_pipe.receive_message dbms_lock.sleep
    `),
    apartFromSql: true,
    pattern: anyOf([
      /randomblob\(\s?\d{6,12}|regexp_substring\(\s?repeat\(|user_lock\.sleep\s?\(\s?\d/,
      /benchmark\(\s?\d{4,12}\s?,\s?\(?(?:md5|sha1|sha|encode|rand|version|char|select|now)\b/,
      sequence([
        standsBefore([
          /['"\d)][\s)]{0,3};?\s?(?:(?:and|or|select|\|\||from)[\s(]{1,3}){1,2}/,
          /(?:\d{1,6}\s?=\s?\(?(?:select\s)?)?/
        ]),
        /pg_sleep\(/
      ]),
      /dbms_pipe\.receive_message\s?\(\s?\(?(?:chr\(|'|")|dbms_lock\.sleep\s?\(\s?\d/
    ])
  }
]

/** Functions and catalogues that an application does not ask for. */
const FUNCTIONS: RawRule[] = [
  {
    // Functions that are called for what their error message or their duration tells.
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: [
      ...words(`
        floor(rand( extractvalue( updatexml( concat(0x concat_ws(0x chr( char( ctxsys. utl_inaddr. utl_http. exp(~(
        load_file( gtid_subset(
      `),
      'into outfile', 'into dumpfile'
    ],
    pattern: anyOf([
      /floor\(rand\(\d?\)\s?\*\s?2\)/,
      sequence([
        /(?:extractvalue|updatexml)\(\s?(?:\d{1,6}|rand\(\)|null|0x\w{1,8}|'\w?')\s?,\s?/,
        /(?:concat|make_set|0x|\(select|'[~:.])/
      ]),
      /concat(?:_ws)?\(0x[0-9a-f]{2,40}\s?[,)]/,
      /cha?r\(\d{1,3}\)\s?\|\|\s?cha?r\(\d/,
      /char\(\d{1,3}\)\s?\+\s?char\(\d|char\(\d{1,3}(?:,\d{1,3}){3,20}\)/,
      /ctxsys\.drithsx\.sn\s?\(|utl_inaddr\.get_host_(?:address|name)\s?\(|utl_http\.request\s?\(\s?['"(]/,
      /exp\(~\(\s?select\s/,
      /load_file\(\s?(?:0x[0-9a-f]{4}|char\(|['"](?:\/etc\/|c:|\\\\|\/proc\/|\/var\/))/,
      /into\s(?:out|dump)file\s?(?:['"][^'"\n]{0,60}\.(?:php\d?|jsp|aspx?|phtml)|'\/var\/www)/,
      /gtid_subset\(\s?(?:concat|version)\(/
    ])
  },
  {
    rule: 'sqli.raw',
    grade: 'likely',
    anchors: [
      'from information_schema', 'from sysobjects', 'from sys.', 'from pg_', 'from mysql.', 'from sqlite_master',
      'from all_tables', 'from dual', 'into outfile', 'rlike ', '@@version', '(select '
    ],
    apartFromSql: true,
    pattern: anyOf([
      /from\s(?:information_schema\.\w|sysobjects\b|mysql\.user\b|sqlite_master\b|pg_(?:user|shadow|catalog)\b)/,
      /into\soutfile\s?['"]|(?<=['"\d)]\s?(?:union\s)?(?:all\s)?select\s?)@@version/,
      /(?<=['"\d)]\s?)rlike\s\(?select|(?<=['"\d)]\s?(?:and|or|=|\+|-|\*|,)\s?)\(select\s[^\n"&]{1,60}\sfrom\s/
    ])
  },
  {
    rule: 'sqli.raw',
    grade: 'certain',
    anchors: ['rlike ', 'from ', '=(select ', '= (select ', ' in (select '],
    apartFromSql: true,
    pattern: anyOf([
      // A catalogue joined with another, for the time that it takes.
      sequence([
        /from\s(?:sysusers|all_users|(?:rdb\$|information_schema\.|sysibm\.)\w{1,20})/,
        /\s(?:as\s)?\w{1,8}\s?,\s?(?:sysusers|all_users|rdb\$|information_schema\.|sysibm\.)/
      ]),
      sequence([LEAVES_LITERAL, /rlike\s\(?(?:select|sleep)\b/]),
      /(?<=(?:and|or)\s\(?\d{1,6}\s?)(?:=|in)\s?\(?\(select\s?(?:\(|\d|upper|chr|char|concat|count|\w)/
    ])
  }
]

/** Behind the name of a field that a login compares: there an operator matches any value. */
const CREDENTIAL =
  /(?<=(?:user(?:_?name)?|login|e?mail|pass(?:word|wd)?|pwd|token|otp|pin|secret)["']?[\])]?\s?:?\s?\{?\s?)/

const OPERATORS = ['ne', 'gt', 'gte', 'lt', 'lte', 'regex', 'exists', 'nin', 'in', 'not', 'eq']

/** Operators and scripts of document stores. */
const DOCUMENT_STORES: RawRule[] = [
  {
    rule: 'nosqli.raw',
    grade: 'certain',
    anchors: pairs(['"$', "'$"], OPERATORS),
    precededBy: '{',
    before: CREDENTIAL,
    pattern: /["']\$\w{2,6}["']\s?:/
  },
  {
    rule: 'nosqli.raw',
    grade: 'certain',
    anchors: pairs(['[$'], OPERATORS),
    before: CREDENTIAL,
    pattern: /\[\$\w{2,6}\](?:\[\])?\s?(?:=|["'])/
  },
  {
    // Search interfaces hand operators through; none needs one that compares with nothing.
    rule: 'nosqli.raw',
    grade: 'likely',
    anchors: pairs(['"$', "'$", '[$'], ['ne', 'gt', 'gte', 'regex', 'exists', 'nin']),
    pattern: anyOf([
      /["']\$(?:ne|gte?|nin)["']\s?:\s?(?:null|-?1\b|0\b|["']{2}|\[\]|["']\w{0,3}["'])/,
      /["']\$regex["']\s?:\s?["'](?:\^?\.[*+]|\^)/,
      /\[\$(?:ne|gte?|nin|exists|regex)\](?:\[\])?=(?:$|[&"]|\w{0,4}(?:$|[&"])|\^|\.\*)/
    ])
  },
  {
    rule: 'nosqli.raw',
    grade: 'certain',
    anchors: ['$where', '$function', '$accumulator'],
    pattern: anyOf([
      sequence([
        /\$where["']?\]?\s?[:=]\s?["']?\s?/,
        /(?:function\b|this\.|sleep\(|return\s|\d{1,5}\s?={1,3}\s?\d|['"]?\w?['"]?\s?==)/
      ]),
      /\$(?:function|accumulator)["']?\s?:\s?\{\s?["']?(?:body|init)["']?\s?:\s?["']?function/
    ])
  },
  {
    rule: 'nosqli.raw',
    grade: 'certain',
    anchors: [
      ...pairs(
        ["'", '"', "')", '")', "'}", '"}', "'})", '"})'],
        [';return', '; return', ';sleep', '; sleep', ';while', '; while']
      ),
      ...pairs(["'", '"', "' ", '" '], ['||this', '|| this', '&&this', '&& this'])
    ],
    pattern: anyOf([
      sequence([
        /["'][)}]{0,2};\s?/,
        [
          /return\s?\(?(?:true|1)\)?\s?[;}]\s?(?:var|\/\/|["'])/,
          /(?:sleep|while)\s?\(\s?(?:\d|true|1)[^"\n]{0,12}\)\s?[;{]/
        ]
      ]),
      /["']\s?(?:\|\||&&)\s?this\.\w{1,20}\s?(?:[!=<>]|\.match)/
    ])
  }
]

/** Filters of LDAP that are closed and opened anew. */
const DIRECTORIES: RawRule[] = [
  {
    rule: 'ldapi.raw',
    grade: 'certain',
    anchors: [')('],
    before: standsBefore([VALUE_START, /\s?[\w*]{0,24}\)?/]),
    pattern: sequence([
      /\)(?<!\([\w.;:-]{1,30}[~<>]?=[\w*]{0,30}\)?)\s?\(\s?(?:[|&!]\s?\(?\s?)?/,
      [
        /uid|cn|sn|mail|objectclass|userpassword|password|user|username|samaccountname|department|memberof/,
        /[a-z]{2,16}/
      ],
      /\s?[~<>]?=/
    ])
  },
  {
    rule: 'ldapi.raw',
    grade: 'certain',
    anchors: ['*)(', '*))', '*()|'],
    before: standsBefore([VALUE_START, /\s?\w{0,24}/]),
    pattern: /\*(?:\(\)\||\){1,2}\(?[|&](?:\(|$|["&]))/
  }
]

/** Conditions and unions of XPath. */
const PATHS: RawRule[] = [
  {
    rule: 'xpathi.raw',
    grade: 'certain',
    anchors: [
      "']|", "'] |", "' or count(/", "' or name(", "' or string-length(", "' and count(/", "' and substring(name(",
      "']/*"
    ],
    pattern: anyOf([
      /'\]\s?\|\s?(?:\/\/|\*)|'\s(?:or|and)\s(?:count\(\/|name\(|string-length\((?:name|\/)|substring\(name\()/,
      /'\]\/\*\s?\|/
    ])
  }
]

export const DATABASE_RULES: RawRule[] = [
  ...UNION,
  ...TAUTOLOGIES,
  ...STACKED,
  ...TIMED,
  ...FUNCTIONS,
  ...DOCUMENT_STORES,
  ...DIRECTORIES,
  ...PATHS
]
