import { anyOf, sequence } from '../../std/regex.ts'
import { words } from '../../std/words.ts'
import { pairs } from './rule.ts'
import type { RawRule } from './rule.ts'

/**
 * Rules for code that an interpreter behind us would run: template engines, Java, PHP, deserialisers, scripts. A
 * certain one has no ordinary reading in prose (raw-scan-corpus.test.ts).
 */

/** Lookups of Log4j, also with their letters taken apart. */
const LOOKUPS: RawRule[] = [
  {
    rule: 'log4shell.raw',
    grade: 'certain',
    anchors: [
      '${jndi:', '${jndi${', '${lower:', '${upper:', '${::', '${env:', '${sys:', '${date:', '${main:', '${ctx:',
      '${java:', '${base64:'
    ],
    inProseToo: true,
    pattern: anyOf([
      /\$\{jndi(?::|\$\{)\s?(?:ldaps?|rmi|dns|nis|iiop|corba|nds|https?|\$\{|[a-z]{0,4}\$\{|\/\/|\w{1,12}:)/,
      /\$\{(?:\$\{)?(?:lower|upper):\s?[a-z:]\s?\}/,
      /\$\{(?:\$\{)?(?:[\w.-]{0,20}:){1,3}-[^}\n]?\}/,
      /\$\{(?:\$\{)?date:\s?['"][a-z]['"]\}/,
      /\$\{base64:jndi/
    ])
  }
]

/** Expressions of template engines: arithmetic that proves that they run, and ways out of their sandbox. */
const TEMPLATES: RawRule[] = [
  {
    rule: 'ssti.raw',
    grade: 'certain',
    anchors: [
      ...words('{{ {%i {%d #{ *{ @('),
      '{% i', '{% d'
    ],
    pattern: anyOf([
      /\{\{\s?-?['"]?\d{1,8}['"]?\s?\*\s?['"]?\d{1,8}['"]?\s?\}\}/,
      /(?:#\{|\*\{|@\()\s?\d{1,8}\s?\*\s?\d{1,8}\s?(?:\}|%>|\))(?=["&<'\s}]|$)/,
      /\{%\s?(?:import\sos|debug)\s?%?\}?/,
      /#\{\s?(?:system|exec|`|%x|io\.popen|session\.setattribute|request\.getclass)\s?[("'`{[]/
    ])
  },
  {
    rule: 'ssti.raw',
    grade: 'certain',
    anchors: ['<%='],
    pattern: sequence([
      /<%=\s?/,
      [
        /\d{1,8}\s?\*\s?\d{1,8}\s?%>|system|exec|`|%x|io\.popen|file\.(?:open|read)|dir\.|eval|kernel\./,
        /require|process\./
      ]
    ])
  },
  {
    rule: 'ssti.raw',
    grade: 'certain',
    anchors: [
      ...pairs(['${', '${ '], [...'0123456789']),
      '${@', '${phpinfo', '${system', '${passthru', '${shell_exec', '${t(', '${#', '${(#', '${new ', "${''",
      '${"', '${class.'
    ],
    pattern: anyOf([
      /\$\{(?=\s?\d{1,8}\s?\*\s?\d{1,8}\s?\}(?:["&]|$))(?<=(?:["=]|^|\s)[\w.-]{0,20}\$\{)/,
      /\$\{(?:\s?@?(?:phpinfo|system|passthru|shell_exec)|@(?:exec|eval|print|md5|die|assert))\s?\(/,
      /\$\{(?:t\s?\(\s?java\.|#_memberaccess|#context|\(#|@java\.|new\sjava\.|''\.getclass|"\w?"\.getclass|class\.)/
    ])
  },
  {
    rule: 'ssti.raw',
    grade: 'certain',
    anchors: [
      ...words(`
        __class__ __mro__ __subclasses__ __globals__ __builtins__ __import__( .getclass( getruntime( processbuilder
        constructor.constructor ["constructor"] _self.env .popen( request.application config.items() lipsum cycler.
        |attr(" filter("system scriptenginemanager os.system( child_process process.mainmodule |filter( require(
      `),
      "['constructor']", "|attr('", "filter('system", "map('system", "map('exec", "reduce('system"
    ],
    inside: 'template',
    pattern: anyOf([
      /__(?:class__|mro__|subclasses__|globals__|builtins__|import__\()/,
      /\.getclass\(|getruntime\(|processbuilder\b|constructor\.constructor|\[['"]constructor['"]\]/,
      /_self\.env\.\w|\.popen\(|request\.application|config\.items\(\)|lipsum[.|[]|cycler\.|\|attr\(['"]/,
      /(?:filter|map|reduce)\(\s?['"]?(?:system|exec|passthru)|scriptenginemanager|os\.system\(/,
      /child_process|process\.mainmodule/
    ])
  },
  {
    rule: 'ssti.raw',
    grade: 'certain',
    anchors: [
      ...words('.getclass( getruntime( .forname( scriptenginemanager os.system( __globals__ __class__ __subclasses__'),
      'new java.'
    ],
    inside: 'expression',
    pattern: anyOf([
      /\.getclass\(\)|\.forname\(|getruntime\(\)\.exec|new\sjava\.(?:lang|util|io)\.|scriptenginemanager/,
      /os\.system\(|__(?:globals|class|subclasses)__/
    ])
  },
  {
    rule: 'ssti.raw',
    grade: 'certain',
    anchors: [
      ...words(`
        freemarker.template.utility registerundefinedfiltercallback t(java.lang t(org.springframework #set($
        |map("system") @(1+ #include(" {php} {system(
      `),
      '#set ($', "|filter('system')"
    ],
    pattern: anyOf([
      /freemarker\.template\.utility\.(?:execute|objectconstructor|jythonruntime)/,
      /registerundefinedfiltercallback\(/,
      /t\s?\(\s?(?:java\.lang|org\.springframework)\.[\w.]{1,40}\)\s?\./,
      /#set\s?\(\s?\$\w{1,20}\s?=\s?(?:\$\w{1,20}\.(?:class|getclass)|\d{1,6}\s?\*\s?\d|['"]{2}\))/,
      /\|\s?(?:filter|map)\(\s?['"](?:system|exec|passthru)['"]|\{system\(\s?['"]/
    ])
  }
]

/** OGNL, class loaders and processes of Java. */
const JAVA: RawRule[] = [
  {
    rule: 'java.raw',
    grade: 'certain',
    anchors: [
      ...words(`
        %{(# %{# #_memberaccess @java.lang.runtime @ognl. allowstaticmethodaccess class.module.classloader
        class.classloader class[ #context[ (#a= @java.lang.processbuilder #application[ .getruntime().exec .forname(
      `),
      '%{(\'', 'new java.lang.processbuilder'
    ],
    pattern: anyOf([
      /%\{\s?\(?\s?(?:#\w{1,30}\s?=|#_|#context|#\w{1,20}\.|'\w{1,20}'\s?\+)/,
      /#_memberaccess\b|@java\.lang\.(?:runtime|processbuilder|system)@|@ognl\.ognlcontext|allowstaticmethodaccess/,
      /class\.(?:module\.)?classloader\.\w|class\[["']?(?:module|classloader)["']?\]/,
      /#context\[['"]|(?<=[=(]\s?)\(#\w{1,8}\s?=\s?(?:@|new\s)/
    ])
  },
  {
    rule: 'java.raw',
    grade: 'likely',
    anchors: [
      ...words(`
        .getruntime().exec( java.lang.runtime javax.script.scriptenginemanager com.sun.rowset.jdbcrowsetimpl
        org.apache.commons.collections.functors invokertransformer
      `),
      'new java.lang.processbuilder'
    ]
  }
]

/** Serialised objects that run code when they are read, of Java, Python, Ruby, .NET, Node and PHP. */
const SERIALISED: RawRule[] = [
  {
    rule: 'deserial.raw',
    grade: 'certain',
    anchors: [
      ...words(`
        aced0005 !!python/object !!javax. !!ruby/object !!java. !!com.sun. !!org. "@type" "$type" _$$nd_func$$_
        dynamic-proxy java.beans.eventhandler java.lang.processbuilder <java
      `),
      "'@type'", 'cos\nsystem', 'cposix\nsystem', 'c__builtin__\n'
    ],
    pattern: anyOf([
      /aced00057[0-9a-e]/,
      /(?<=class\s?=\s?["'])(?:dynamic-proxy|java\.beans\.eventhandler|java\.lang\.processbuilder)["']/,
      sequence([
        /!!/,
        [
          /python\/object\/(?:apply|new)|javax\.script\.|ruby\/object:(?:gem|net|erb|universal)/,
          /java\.net\.url|com\.sun\.|org\.(?:spring|apache)/
        ]
      ]),
      sequence([
        /["']@type["']\s?:\s?["']/,
        /(?:l?com\.(?:sun|mchange|alibaba\.fastjson|caucho)|l?javax?\.|l?org\.(?:apache|spring|mybatis|hibernate))/,
        /[\w.]/
      ]),
      sequence([
        /"\$type"\s?:\s?"system\./,
        /(?:windows\.data\.objectdataprovider|diagnostics|management|io\.(?:file|dir)|configuration\.install)/
      ]),
      /_\$\$nd_func\$\$_\s?function|(?:cos|cposix)\nsystem\n|c__builtin__\n(?:eval|exec|getattr)/,
      /<java(?:\s[^<>\n]{0,60})?>\s?<(?:object|void)\s[^<>\n]{0,30}class\s?=\s?["']java/
    ])
  },
  {
    // The head of a stream of .NET.
    rule: 'deserial.raw',
    grade: 'likely',
    anchors: ['aaeaaad/////']
  },
  {
    rule: 'deserial.raw',
    grade: 'certain',
    anchors: ['o:', 'c:'],
    pattern: /(?<![\w$])[oc]:\+?\d{1,4}:["'](?!stdclass["'])[\w\\]{1,80}["']:\d{1,4}:\{/
  }
]

/** Code of PHP, and of ASP and JSP pages. */
const PHP: RawRule[] = [
  {
    rule: 'php.raw',
    grade: 'certain',
    anchors: ['<?'],
    pattern: sequence([
      /<\?(?:php|=)?\s?(?=[@a-z$`])/,
      /(?:@?\s?(?:echo|print|die|error_reporting\(0\);?|set_time_limit\(0\);?)\s?\(?\s?){0,2}@?\s?/,
      [
        /(?:system|exec|passthru|shell_exec|eval|assert|popen|proc_open|phpinfo)\s?\(/,
        /(?:file_put_contents|fputs|unlink|md5)\s?\(/,
        /base64_decode\s?\(|\$_(?:get|post|request|cookie|server)\s?\[[^\]\n]{1,20}\]\s?\(/,
        /\$_(?:get|post|request|cookie)\b|`\$?\w/
      ]])
  },
  {
    rule: 'php.raw',
    grade: 'certain',
    anchors: ['<%'],
    pattern: anyOf([
      /<%\s?@?\s?(?:eval|execute)\s?\(?\s?request/,
      sequence([
        /<%[!=@]?\s?/,
        /(?:out\.print(?:ln)?\(|[\w.]{0,20}runtime\.getruntime|java\.lang\.runtime|response\.write\(|new\sjava\.)/
      ])
    ])
  },
  {
    rule: 'php.raw',
    grade: 'certain',
    anchors: ['eval(', 'assert(', 'system(', 'passthru(', 'shell_exec(', 'exec('],
    pattern: anyOf([
      sequence([
        /(?:eval|assert|system|passthru|shell_exec|exec)\(\s?(?:stripslashes\(\s?)?\$_/,
        /(?:get|post|request|cookie|server|files)\b/
      ]),
      /(?:eval|assert)\(\s?(?:gzinflate\(\s?|str_rot13\(\s?|gzuncompress\(\s?){0,2}base64_decode\(/,
      sequence([
        /(?<=(?:["=;{(@]\s?|["'=]\w{0,20};\s?|["'][)}]{0,2};\s?))(?:system|passthru|shell_exec|exec)\(\s?["']/,
        /(?:id|ls|cat\s|whoami|uname|wget\s|curl\s|dir|ping\s|nc\s|echo\s|ipconfig)\b[^"'\n]{0,60}["']\s?\)/
      ])
    ])
  },
  {
    rule: 'php.raw',
    grade: 'certain',
    anchors: ['phpinfo(', 'phpinfo ('],
    pattern: /(?<=(?:["'=][\w'")\].]{0,12}[;|&]?\s?|\$\{@?|\{\$\{))phpinfo\s?\(\s?-?\d{0,2}\s?\)\s?[;}"'&/]?/
  }
]

/** Streams and addresses that PHP includes as files. */
const INCLUSIONS: RawRule[] = [
  {
    rule: 'rfi.raw',
    grade: 'certain',
    anchors: words(`
      php://filter data://text/plain expect:// phar:// php://input zip:// data:text/plain allow_url_include
      auto_prepend_file call_user_func
    `),
    onlyInHead: true,
    pattern: anyOf([
      /php:\/\/(?:filter|input)|data:(?:\/\/)?text\/plain\s?[;,]|expect:\/\/\w|(?:phar|zip):\/\/[\w./]/,
      /(?:allow_url_include|auto_prepend_file)\s?=|call_user_func(?:_array)?(?:&|$)/
    ])
  },
  {
    rule: 'rfi.raw',
    grade: 'certain',
    anchors: ['php://filter', 'expect://'],
    pattern: anyOf([
      /php:\/\/filter\/(?:[\w.=/|-]{0,60}resource=|(?:read=|write=)?(?:convert|string|zlib)\.)/,
      /expect:\/\/(?:id|ls|whoami|cat)\b/
    ])
  },
  {
    rule: 'rfi.raw',
    grade: 'likely',
    anchors: ['php://input', 'data://text/plain', 'phar://', '=http://', '=https://', '=ftp://'],
    pattern: anyOf([
      /php:\/\/input|data:\/\/text\/plain|phar:\/\/[\w./]/,
      /=(?:https?|ftp):\/\/[\w.:-]{1,60}(?:\/[\w.-]{1,24}){0,4}\.(?:txt|php|gif|jpg)\?{1,3}(?:$|[&"\s])/
    ])
  }
]

/** Keys that reach the prototype of all objects. */
const PROTOTYPES: RawRule[] = [
  {
    rule: 'proto.raw',
    grade: 'certain',
    anchors: ['__proto__', 'constructor'],
    pattern: anyOf([
      /(?<=[{,]\s?["'])__proto__["']\s?:\s?[[{"\d]/,
      /(?<=[?&]|^)__proto__(?:\[[\w.-]{1,40}\]|\.[\w.-]{1,40})\s?=|(?<=\w?\[)__proto__\]\[?[\w.[\]-]{1,40}\s?=/,
      /(?<=[{,]\s?["'])constructor["']\s?:\s?\{\s?["']prototype["']\s?:/,
      /(?<=[?&[])constructor\]?[[.]prototype\]?[[.]\w{1,40}\]?=/
    ])
  },
  {
    rule: 'proto.raw',
    grade: 'likely',
    anchors: ['__proto__'],
    pattern: /(?<=["'[.])__proto__(?:["']\s?:|\]|[.[]\w{1,40}\]?\s?=[^=])/
  }
]

/** Modules that scripts load to start a process. */
const MODULES: RawRule[] = [
  {
    rule: 'code.raw',
    grade: 'certain',
    anchors: ['__import__(', 'require('],
    pattern: anyOf([
      /__import__\(\s?['"](?:os|subprocess|commands|pty|socket)['"]\s?\)\.(?:system|popen|check_output|run|call|spawn)/,
      sequence([
        /(?<=["'=]\w{0,12}[;)}]?\s?(?:return\s)?|\))require\(\s?['"]child_process['"]\s?\)\./,
        /(?:exec|spawn|execfile)(?:sync)?\(\s?['"](?:id|ls|cat\s|whoami|nc\s|curl|wget|bash|ping|uname)/
      ])
    ])
  },
  {
    rule: 'code.raw',
    grade: 'likely',
    anchors: ['child_process', '.popen(', 'os.system(', 'process.mainmodule'],
    pattern: anyOf([
      /process\.mainmodule\.(?:require|constructor)|child_process['"]\)\.(?:exec|spawn)/,
      /(?<=os)\.popen\(\s?['"]|os\.system\(\s?['"](?:id|cat|ls|whoami|curl|wget|rm|nc)\b/
    ])
  }
]

export const CODE_RULES: RawRule[] = [
  ...LOOKUPS,
  ...TEMPLATES,
  ...JAVA,
  ...SERIALISED,
  ...PHP,
  ...INCLUSIONS,
  ...PROTOTYPES,
  ...MODULES
]
