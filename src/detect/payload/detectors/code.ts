import { anyOf, sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { certain, certainAnywhere, leftOut, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { WORD } from '../words.ts'
import { addPrototypeSigns } from './injection.ts'
import { PHP_SETTINGS, PHP_SETTING_PREFIXES, PHP_SHARED, PHP_STRONG } from './php-words.ts'

/** Code of server languages in values (PHP, Java, JavaScript, Perl, Ruby, Python) and serialised objects. */
export function detectCode (subject: Subject): void {
  const { characters, words } = subject
  if ((characters & CHAR.less) !== 0) addPhpTagSigns(subject)
  if ((characters & (CHAR.bracket | CHAR.brace)) !== 0 && /[[{][\\/]?php[\]}]/.test(subject.flat)) {
    likely(subject, 'php.bracket-tag', 0.77, subject.flat.slice(0, 40))
  }
  if ((characters & CHAR.bracket) !== 0 && /\) ?\}? ?(?:\[ ?\d ?\] ?){1,3}\}? ?\(/.test(subject.flat)) {
    likely(subject, 'php.indirect-call', 0.78, subject.flat.slice(0, 50))
  }
  if ((characters & CHAR.dollar) !== 0) addPhpVariableSigns(subject)
  if ((characters & CHAR.paren) !== 0) addPhpCallSigns(subject)
  if ((characters & (CHAR.equals | CHAR.dot)) !== 0 || subject.kind === 'name') addSettingSigns(subject)
  if ((characters & CHAR.colon) !== 0 && (characters & CHAR.brace) !== 0) addSerializedSigns(subject)
  if ((words & WORD.java) !== 0 && (characters & (CHAR.dot | CHAR.paren | CHAR.bracket)) !== 0) addJavaSigns(subject)
  addMarkerSigns(subject)
  if (
    (words & (WORD.script | WORD.template)) !== 0 ||
    ((characters & CHAR.percent) !== 0 && subject.flat.startsWith('%x'))
  ) {
    addScriptSigns(subject)
  }
  if ((words & WORD.prototype) !== 0) addPrototypeSigns(subject, subject.flat)
  if ((characters & CHAR.at) !== 0 && (characters & CHAR.brace) !== 0) addPerlSigns(subject)
}

function addPhpTagSigns (subject: Subject): void {
  const at = subject.flat.indexOf('<?')
  if (at === -1) return
  const tag = subject.flat.slice(at, at + 80)
  if (/^<\?(?:php\b|=)/.test(tag) && /\w ?\(|\$_|`|echo|print|include|require|eval|=/.test(tag.slice(3))) {
    return certain(subject, 'php.open-tag', tag)
  }
  if (/^<\?php\b|^<\?=/.test(tag)) return likely(subject, 'php.open-tag', 0.82, tag)
  if (/^<\?xml[^>]{0,10}:(?:exec|echo|system|eval|passthru)|^<\?xml ?:/.test(tag)) {
    return certain(subject, 'php.xml-code', tag)
  }
  if (/^<\?xml(?! version)[^=>"'?]{0,40};/.test(tag)) return likely(subject, 'php.xml-code', 0.8, tag)
  if (!/^<\?(?:xml|mso|import|xpacket|javascript|adobe)/.test(tag)) likely(subject, 'php.short-tag', 0.77, tag)
}

const PHP_SUPERGLOBAL = sequence([
  /\$/,
  [
    /_(?:get|post|request|cookie|server|session|files|env)\b|globals\b|http_(?:\w+_vars|raw_post_data)/,
    /argv\b|php_errormsg/
  ]
])

const PHP_VARIABLE_CALL = sequence([
  /\$\{? ?\$?\w{1,40}/,
  /(?: ?\/\*[^*]{0,40}\*\/| ?#\w*| ?\/\/\w*| ?\[[^\][]{1,40}\]| ?\{[^}{]{1,40}\}| ?->\w+| ?\}){0,4} ?\(/
])

function addPhpVariableSigns (subject: Subject): void {
  const text = subject.flat
  const global = PHP_SUPERGLOBAL.exec(text)
  if (global !== null) {
    return /[[{(;]/.test(text.slice(global.index + global[0].length, global.index + global[0].length + 3))
      ? certain(subject, 'php.superglobal', text.slice(global.index, global.index + 50))
      : likely(subject, 'php.superglobal', 0.77, global[0])
  }
  const call = PHP_VARIABLE_CALL.exec(text)
  if (
    call !== null && /\$[_a-z{$]/.test(call[0]) && !/\$\(/.test(call[0]) &&
    text.slice(call.index + call[0].length, call.index + call[0].length + 80).includes(')')
  ) {
    likely(subject, 'php.variable-call', 0.78, call[0])
  } else if (/\$ +\{|\$\{ ?[@_.]+(?:[a-z0-9]\w*)?\}? ?\(/.test(text)) {
    likely(subject, 'php.variable-variable', 0.76, text.slice(0, 40))
  } else if (/\$\w{1,20} ?\[[^\n([\]]{1,16}\] ?\(/.test(text)) {
    likely(subject, 'php.variable-call', 0.78, text.slice(0, 50))
  } else if (/\$\{ ?["']\w{1,20}["'] ?\}/.test(text)) {
    likely(subject, 'php.variable-variable', 0.77, text.slice(0, 40))
  } else if (/\$ ?\{ ?\$\w/.test(text)) likely(subject, 'php.variable-variable', 0.77, text.slice(0, 40))
  else if (/\$\w{1,30} ?(?:=[^=]|\.=|\[["'])[^;]{0,80};/.test(text)) {
    likely(subject, 'php.assignment', 0.7, text.slice(0, 50))
  }
}

const PHP_PREFIXED = anyOf([
  sequence([
    /\b/,
    [
      /array|ldap|sodium|tidy|mysqli?|pg|sqlite|curl|socket|stream|posix|pcntl|openssl|mb|gz|bz|zip/,
      /simplexml|iconv|odbc|oci|ftp|imap|snmp|apcu?|session|spl|image|mcrypt|preg|ctype|dba|exif|fdf|finfo/,
      /ibase|shm|sem|shmop|readline|xdebug|wddx|runkit|sqlsrv|sybase|mssql|ifx|dbx|fbsql|ingres|maxdb|msql/,
      /newt|ncurses|pspell|recode|svn|win32|yaz/
    ],
    /_[a-z0-9_]{2,50} ?\(/
  ]),
  /\b(?:bzdecompress|gethostby\w+|gzdecode|gzinflate|gzdeflate|gzcompress|parse_str|mb_\w+) ?\(/
])
/** A name that is called. It begins where a word does, or behind its digits: each letter is read once. */
const CALLED = /(?<![a-z0-9_])\d*([a-z_][a-z0-9_]{1,40})(?: |\/\*[^*]{0,40}\*\/|\/\/[^(]{0,30}|#[^(]{0,30})?\(/g
const CALLS_MAX = 512

const PHP_CALL_BY_NAME = sequence([
  /[([] ?["']?(?:string\) ?\{? ?\[)?(?:system|exec|passthru|shell_exec|eval|assert|popen|proc_open)/,
  /["']? ?[)\]] ?\)?(?:\[\d\]\}?)? ?\(/
])

/**
 * A string that is called, pieced together or escaped. No text can be read as two rows of pieces (the row of escapes
 * that fails would be tried in all of them), and what is joined to a string before it begins no row of its own.
 */
const PHP_STRING_CALL = sequence([
  /(?<!["'][\w .\\]{0,8}["'] ?\. ?)/,
  /["'](?:\w|\\x\w{2}|\\(?!x\w\w)\w{2}|["'] ?\. ?["']|[ .]){2,60}["'] ?\)? ?\( ?["'\w$]/
])

/**
 * Calls by name: one of a kind is enough where the name exists in PHP alone; shared names need arguments of
 * their own.
 */
function addPhpCallSigns (subject: Subject): void {
  if ((subject.words & WORD.php) !== 0) {
    CALLED.lastIndex = 0
    for (let count = 0; ; count++) {
      const match = CALLED.exec(subject.flat)
      if (match === null) break
      if (count >= CALLS_MAX) {
        leftOut(subject, `calls beyond the ${CALLS_MAX}th`)
        break
      }
      if (addCallSigns(subject, match[1] as string, match.index + match[0].length)) break
    }
    if (/\[ ?\w{2,30} ?\] ?\[ ?\d ?\] ?\(/.test(subject.flat)) {
      likely(subject, 'php.indirect-call', 0.8, subject.flat.slice(0, 50))
    }
  }
  if (PHP_CALL_BY_NAME.test(subject.flat.replace(/\/\*[^*]{0,40}\*\//g, ''))) {
    certain(subject, 'php.indirect-call', subject.flat.slice(0, 50))
  }
  if (/["'](?:system|exec|passthru|shell_exec|popen|proc_open|assert)["'] ?\( ?[\w"'$]/.test(subject.flat)) {
    certain(subject, 'php.indirect-call', subject.flat.slice(0, 50))
  }
  if (/(?:^|[;=]) ?\([\w.()'" ]{1,40}\) ?(?:\/\*[^*]{0,40}\*\/ ?)?\( ?["'$]/.test(subject.flat)) {
    likely(subject, 'php.string-call', 0.78, subject.flat.slice(0, 50))
  }
  if (/["']\w{1,10}["'] ?\. ?["']\w{1,10}["']/.test(subject.flat)) {
    likely(subject, 'php.split-string', 0.77, subject.flat.slice(0, 50))
  }
  if (
    /^(?:system|exec|eval|passthru|popen|assert) ?(?:#\w* ?|\/\*[^*]{0,40}\*\/ ?|\/\/\w* ?)?\([^()]{0,40}\) ?;?$/
      .test(subject.flat)
  ) {
    likely(subject, 'php.code-call', 0.77, subject.flat.slice(0, 50))
  }
  const prefixed = PHP_PREFIXED.exec(subject.flat)
  if (prefixed !== null) likely(subject, 'php.function-call', subject.flat.length < 80 ? 0.77 : 0.45, prefixed[0])
  if (
    /^[^a-z]{0,4}(?:\((?:string|int)\))?[("'\\]/.test(subject.flat) &&
    PHP_STRING_CALL.test(subject.flat)
  ) {
    likely(subject, 'php.string-call', 0.8, subject.flat.slice(0, 50))
  }
}

function addCallSigns (subject: Subject, name: string, at: number): boolean {
  const rest = subject.flat.slice(at, at + 80)
  const match = name + '(' + rest.slice(0, 40)
  if (PHP_STRONG.has(name)) {
    likely(subject, 'php.function-call', 0.78, match)
    return true
  }
  if (!PHP_SHARED.has(name)) return false
  if (/^(?:include|require)/.test(name) && !/^ ?["'](?:https?:|\.\.|\/|php:|data:|ftp:)|^ ?\$/.test(rest)) return false
  const danger = /^(?:system|exec|eval|assert|include|require|include_once|require_once|popen|passthru)$/.test(name)
  // `the system (new)`: a blank before the parenthesis is how sentences write it.
  if (danger && subject.flat.charAt(at - 2) === ' ' && !/^ ?["'$`\\]/.test(rest)) return true
  if (danger && /^ ?["'$`\\\w]/.test(rest) && rest.includes(')')) {
    if (
      /^ ?["'$](?!\))/.test(rest) ||
      /^ ?(?:base64|gzinflate|str_rot13|chr|file_get|stripslashes|system|ls\b|id\b)/.test(rest)
    ) {
      certain(subject, 'php.code-call', match)
    } else likely(subject, 'php.code-call', 0.77, match)
    return true
  }
  if (
    /^(?:chr|ord|md5|sha1|exec|file|system|eval|dl|unpack|glob|phpinfo|print|date)$/.test(name) &&
    /^ ?(?:\)|\d|["'$])/.test(rest) && at - name.length <= 12
  ) {
    likely(subject, 'php.shared-call', at - name.length <= 3 && subject.flat.length < 60 ? 0.76 : 0.5, match)
    return true
  }
  return false
}

function addSettingSigns (subject: Subject): void {
  const match = /^([a-z_0-9]{3,20})\.([a-z_]{3,40})(?: ?=|$)/.exec(subject.flat) ??
    /(?:^|[ ?&;-]d? ?)([a-z_0-9]{5,40}) ?= ?(?:1|0|on|off|true|false|php:|none|\/|\d+[mk]\b)/.exec(
      subject.flat
    )
  if (match === null) return
  if (
    match[2] === undefined
      ? PHP_SETTINGS.has(match[1] as string)
      : PHP_SETTING_PREFIXES.has(match[1] as string) && (match[2] as string).includes('_')
  ) {
    likely(subject, 'php.setting', 0.77, match[0])
  }
}

function addSerializedSigns (subject: Subject): void {
  const object = /(?:^|[;{"'= ])[oc]:\+?\d{1,5}:["'\\&][^:]{0,80}:\d+:\{/.exec(subject.flat)
  if (object !== null) return certain(subject, 'deserial.php-object', object[0])
  if (/^a:\d{1,5}:\{(?:[isbdna]:|\})/.test(subject.flat)) {
    likely(subject, 'deserial.php-array', 0.4, subject.flat.slice(0, 40))
  }
}

const JAVA_CLASS = sequence([
  /\b/,
  [
    sequence([
      /java\./,
      [
        sequence([
          /lang\./,
          [
            /runtime|process(?:builder)?|class(?:loader)?|reflect|object|number|string(?:builder|buffer)?/,
            /system|thread|math|integer|character/
          ]
        ]),
        /io\.\w+|net\.(?:url|socket)\w*|util\.(?:scanner|base64|zip|prefs)|rmi\.\w+|beans\.\w+|security\.\w+/,
        /sql\.\w+|nio\.\w+/
      ]
    ]),
    /javax\.(?:script|naming|management|el|imageio|swing)\.?\w*/,
    sequence([
      /com\./,
      [
        /sun\.(?:org\.apache|rowset|jndi|syndication)|opensymphony|mchange|alibaba\.fastjson|caucho/,
        /rometools/
      ]
    ]),
    sequence([
      /org\./,
      [
        /apache\.(?:commons\b|struts2?|xalan|xbean|tomcat|catalina|bcel|shiro|logging)|omg\.corba/,
        /springframework|codehaus\.groovy|mozilla\.javascript|jboss|hibernate|python\.core|yaml\.snakeyaml/
      ]
    ]),
    /sun\.(?:misc|reflect|tools)|weblogic\.\w+|ysoserial/
  ],
  /\b[\w.$]*/
])
const JAVA_GADGET = anyOf([
  sequence([
    /\b(?:processbuilder|runtime)\b.{0,80}/,
    [
      /clonetransformer|forclosure|instantiate(?:factory|transformer)|invokertransformer/,
      /prototype(?:clone|serialization)factory|whileclosure|getproperty|filewriter|xmldecoder|evil|exec/,
      /start\b/
    ]
  ]),
  sequence([
    /\b/,
    [
      /invokertransformer|instantiatetransformer|clonetransformer|prototypeclonefactory/,
      /prototypeserializationfactory|instantiatefactory|whileclosure|forclosure|templatesimpl|jdbcrowsetimpl/,
      /badattributevalueexpexception|annotationinvocationhandler/
    ],
    /\b/
  ]),
  /java\.(?:\w{1,20}\.)?(?:processbuilder|runtime)/
])

const JAVA_EXPRESSION = anyOf([
  /@java\.lang|getruntime\( ?\) ?\.? ?exec|new (?:java\.lang\.)?processbuilder ?\(/,
  /class\.module\.classloader|class\.classloader\.|#_memberaccess|\(#\w+ ?=|@ognl\.|%\{ ?[#(]|#context\b/,
  /\["?class"?\]\.|allowstaticmethodaccess|\.getclass\(\)\.forname|t\(java\.lang/
])

function addJavaSigns (subject: Subject): void {
  const text = subject.flat
  if (JAVA_EXPRESSION.test(text)) return certain(subject, 'java.expression', text.slice(0, 60))
  const gadget = JAVA_GADGET.exec(text)
  if (gadget !== null) return likely(subject, 'java.gadget', 0.83, gadget[0])
  const name = JAVA_CLASS.exec(text)
  if (name === null) return
  // A class name that fills the value is an argument for a loader; among other words it is a stack trace or a question.
  const filling = name[0].length / text.length
  likely(subject, 'java.class-name', filling > 0.5 && !text.includes(' ') ? 0.78 : filling > 0.15 ? 0.5 : 0.25, name[0])
}

/** Java's stream header AC ED 00 05 raw, in hex and in base64 at its three alignments; .NET and Python streams. */
const MARKER = anyOf([
  /(?:^|[^A-Za-z0-9+/])(?:rO0ABQ|KztAAU|Cs7QAF|rO0AB[A-Za-z0-9+/])/,
  /^(?:AAEAAAD\/{5}|gASV[A-Za-z0-9+/]{2,4}AAAAAA|BAh[vV1lj][A-Za-z0-9+/]{8}|H4sIAAAAAAAA\w{2,}AO29B)/,
  /aced0005|\u00ac\u00ed\u0000\u0005|"(?:\$type|@type|javaClass)" ?: ?"[\w.]+\.[\w.]+/
])

function addMarkerSigns (subject: Subject): void {
  const marker = MARKER.exec(subject.text)
  if (marker !== null) likely(subject, 'deserial.stream', 0.82, marker[0])
  if (
    (subject.characters & CHAR.bang) !== 0 &&
    /!!(?:python\/(?:object|name|module)|javax?\.|ruby\/(?:object|hash)|org\.|com\.sun)/.test(subject.flat)
  ) {
    certain(subject, 'deserial.yaml-type', '!!')
  }
}

const NODE = anyOf([
  /require ?\( ?["'`](?:child_process|fs|net|http|vm|os|cluster|dns|util|path|crypto)["'`]|require\.main/,
  /process\.(?:env\b|mainmodule|binding|exit|kill|stdout|argv|cwd|version|chdir)|module\.exports ?=/,
  /_\$\$nd_func\$\$_|__js_function|child_process|\b(?:exec|spawn|fork)(?:sync|file)?\( ?["'`]/,
  /\.constructor(?:\.constructor)? ?\(|global(?:this)?\.(?:process|require)/,
  /console\.(?:log|info|debug|error|warn|dir|table|trace)(?:\.(?:call|apply|bind))?\( ?|new function ?\(/,
  /\breadfilesync|writefilesync|createwritestream|\bpromise\.(?:all|resolve|reject|race)\(/,
  /\b(?:process|console|require) ?\[|import ?\( ?["']|fs\.(?:read|write)|"_(?:prefix|response|chunks)"/,
  /:__proto__:|\bthis ?\. ?(?:constructor|process)|[[("']constructor["')\]](?! ?:)/,
  /\bsystem\.diagnostics\.process\b|\bdeno\.(?:run|command|readtextfile|env)\b ?[.(]/,
  /\bbun\.(?:spawn|\$|file)\b/
])
const LOOP = /\b(?:while|for) ?\( ?(?:!+[\w"'`[{+]|true|1|;;|infinity|[-+(]|new |\d+(?:[=<>]|\)))/

const SYSTEM_CALL = anyOf([
  /\bsubprocess\.(?:check_call|getoutput|getstatusoutput) ?\(|["'] ?\.execute\(\)(?:\.text)?|^%x[([{] ?[a-z]/,
  /__import__ ?\(|\bos\.(?:system|popen|exec\w+|spawn\w+|environ)/,
  /subprocess\.(?:popen|call|run|check_output)|\bexec ?\( ?(?:compile|base64)/,
  /\beval ?\( ?(?:compile|__|open|input)|open\( ?["']\/etc|pty\.spawn|kernel\.(?:exec|system|open)/,
  /\bio\.popen/,
  /(?:system|exec|popen) ?\( ?["'](?:id|ls|cat|whoami|uname|curl|wget|ping|nc|dir|echo|rm|sh|bash)\b/
])

function addScriptSigns (subject: Subject): void {
  const text = subject.flat
  const node = NODE.exec(text)
  if (node !== null) {
    if (/child_process|nd_func|_response|:__proto__:/.test(node[0]) && /[({]/.test(text)) {
      certain(subject, 'code.node', node[0])
    } else likely(subject, 'code.node', 0.78, node[0])
  }
  if (
    /^\W{0,3}(?:while|for) ?\( ?(?:this|string|[!+-]+\d|number|object|array|date|self|window|\[\]|\{\}|"\w*"|'\w*') ?\)/
      .test(text)
  ) {
    likely(subject, 'code.endless-loop', 0.78, text.slice(0, 40))
  }
  const loop = LOOP.exec(text)
  if (loop !== null && !/^\w+ ?\( ?!true/.test(text.slice(loop.index, loop.index + 16))) {
    likely(subject, 'code.endless-loop', 0.77, loop[0])
  }
  const python = SYSTEM_CALL.exec(text)
  if (python !== null) certain(subject, 'code.system-call', python[0])
}

function addPerlSigns (subject: Subject): void {
  if (/@\{ ?\[/.test(subject.flat)) certain(subject, 'code.perl-interpolation', subject.flat.slice(0, 50))
  else if (/@\{ ?\w+/.test(subject.flat)) weak(subject, 'code.perl-interpolation', 0.2, '@{')
}

const EXECUTABLE_UPLOAD = anyOf([
  sequence([
    /\. ?/,
    [
      /php\d?|phtml|phar|phps|php\d{1,4}|pht|phpt|php\.\w+|asp|aspx|ashx|asmx|jspx?|jspf|cfm|cgi|pl|htaccess/,
      /user\.ini/
    ],
    /(?:[.\s:;%/]|$)/
  ]),
  /^\.htaccess|^\.user\.ini/
])

/** File names of uploads that a server would run or that set it up. */
export function detectFilename (subject: Subject): void {
  const name = subject.flat.trim()
  if (EXECUTABLE_UPLOAD.test(name)) likely(subject, 'upload.executable', 0.79, name.slice(-40))
  if (/[="<>\\]|\.\.[/\\]|'.*'/.test(name)) likely(subject, 'upload.odd-name', 0.76, name.slice(0, 40))
  else if (/[;']/.test(name)) likely(subject, 'upload.odd-name', 0.4, name.slice(0, 40))
  if (/(?:^|\/)sess_[a-z0-9,-]{16,}$/.test(name)) likely(subject, 'upload.session-file', 0.79, name.slice(0, 40))
  if (name.includes('\0')) certainAnywhere(subject, 'upload.nul', name.slice(0, 40))
}
