/* eslint-disable no-template-curly-in-string -- shell variables are what is looked for */
import { anyOf, sequence } from '../../std/regex.ts'
import { words } from '../../std/words.ts'
import { pairs, standsBefore, VALUE_START } from './rule.ts'
import type { RawRule } from './rule.ts'

/**
 * Rules for what the system behind us would do for a request: run a command, open a file, ask an address, send a
 * header, include a document. A certain one has no ordinary reading in prose (raw-scan-corpus.test.ts).
 */

/**
 * Where a shell starts a new command behind a value that is no command line itself: the value is empty, one word, a
 * number, an address. Shell text that somebody posts has more before it.
 */
const VALUE = sequence([VALUE_START, /["'\s]?[\w.@:/*-]{0,40}["')\s]{0,3}/])
const SEPARATED = standsBefore([
  VALUE,
  /(?:;|\|\|?|&&?|\n|\v|(?<! )(?:`|\$\()|<\()[\s@({"']{0,3}/,
  /(?:\/?(?:usr\/)?(?:local\/)?s?bin\/)?/
])
/** The last character of VALUE. */
const VALUE_SIGNS = 'abcdefghijklmnopqrstuvwxyz0123456789_.@:/*-"\')=>['
/** The last character of what SEPARATED looks for. */
const SHELL_SIGNS = ';|&\n\v`(<{@"\'/'
/** Any separator, wherever it stands. */
const CHAINED = standsBefore([/(?:;|\|\|?|&&?|`|\$\()\s?(?:\/?(?:usr\/)?s?bin\/)?/])
const ENDS = /(?=$|["'&;|`)#<\n\v>\]])/

const READERS = /(?:cat|tac|nl|head|tail|more|less|strings|sort|xxd|od|base64|rev|grep|awk|sed|cut|type)/

/** Commands of a shell that leave a value. */
const COMMANDS: RawRule[] = [
  {
    rule: 'cmdi.raw',
    grade: 'certain',
    anchors: [
      ...words('cat< whoami powershell cmd.exe uname ifconfig ipconfig netstat python systeminfo tasklist certutil'),
      'cat ', 'tac ', 'nl ', 'head ', 'tail ', 'more ', 'less ', 'grep ', 'type ', 'wget ', 'curl ', 'nc ', 'ncat ',
      'ping ', 'sleep ', 'nslookup ', 'dig ', 'bash ', 'sh -', 'cmd ', 'dir ', 'net user', 'net view', 'perl ',
      'php -', 'ruby -', 'rm -', 'chmod ', 'echo ', 'printf ', 'expr ', 'touch ', 'telnet ', 'mkfifo ', 'ls ', 'id ',
      'ps ', 'find /', 'host ', 'set /a', 'kill ', 'ssh ', 'env ', 'pwd ', 'tftp ', 'timeout '
    ],
    precededBy: SHELL_SIGNS,
    before: SEPARATED,
    pattern: anyOf([
      sequence([
        READERS,
        /\s?(?:-\w{1,3}\s)?["'<\s]{0,2}/,
        /(?:\/{1,3}[\w?*]|\.\.?\/|\\|[a-z]:\\|[\w-]{1,30}\.(?:php|txt|conf|ini|log|py|js|sh)\b|\$)/
      ]),
      sequence([
        /(?:whoami|uname|ifconfig|ipconfig|netstat|systeminfo|tasklist)/,
        /(?:\s?-\w{1,3}|\s?\/\w{1,5})?\s?/,
        ENDS
      ]),
      sequence([
        /(?:wget|curl)\s(?:-{1,2}[\w./=-]{1,36}(?:\s[\w./][\w./-]{0,19})?\s){0,3}["'`$(]{0,3}/,
        /(?:https?:|ftp:|\/\/|\d{1,3}\.\d|[\w-]{1,40}\.[\w.-]{1,40}|`|\w)/
      ]),
      /(?:nc|ncat|telnet)\s(?:-\w{1,6}\s){0,3}(?:[\w-]{1,30}\.|\/bin|\$|\d)/,
      /(?:nslookup|dig|host)\s(?:-\w{1,6}\s)?[\w$`("'-]{1,40}[.`)(]/,
      /ping\s(?:(?:-|\/)[a-z]\s?\d{0,3}\s){0,3}(?:\d{1,3}\.|localhost|[\w$`(-]{1,40}[.`(]|\d{1,9}\s?[;"&])/,
      sequence([[/sleep\s\d{1,4}[smh]?\s?/, /timeout\s(?:\/t\s)?\d{1,4}/], ENDS]),
      /(?:ba|z|k|da)?sh\s-(?:c|i)\b|powershell(?:\.exe)?\s|cmd(?:\.exe)?\s?\/[ck]\b|set\s\/a\s|certutil\s-/,
      /dir\s?(?:[a-z]:|\\|\/\w\b)|net\s(?:user|view)\b|python[\d.]{0,4}\s-c|perl\s-e|php\s-r|ruby\s-e|tftp\s-/,
      /rm\s-[rf]{1,2}\s|chmod\s(?:[0-7]{3,4}|\+x)\s|mkfifo\s\/|touch\s\/|kill\s-9|ssh\s-o|find\s\/|env\s\w{1,20}=/,
      sequence([/(?:ls|id|ps|pwd)\s(?:-\w{1,6}|\/[\w/.]{0,30}|aux|\.\.?\/?)\s?/, ENDS]),
      sequence([/(?:echo|printf|expr)\s["'$`\\\w+*()\s-]{1,40}/, /(?:["'`)]?\s?(?=$|["&;|`)#<>]))/])
    ])
  },
  {
    rule: 'cmdi.raw',
    grade: 'certain',
    anchors: pairs([';', '; ', '||', '|| ', '&&', '&& ', '`', '$('], [
      'id', 'ls', 'pwd', 'env', 'dir', 'ps', 'whoami', 'uname'
    ]),
    precededBy: VALUE_SIGNS,
    before: standsBefore([VALUE]),
    pattern: sequence([
      /(?:;|\|\||&&|(?<! )(?:`|\$\())\s?(?:id|ls|pwd|env|dir|ps|whoami|uname)\s?/,
      [/(?=`|\))/, /(?:;|\|\||&&|#|&|>)/, /(?=["<]|$)/]
    ])
  },
  {
    // A value that begins with a pipe is no list of names.
    rule: 'cmdi.raw',
    grade: 'certain',
    anchors: [
      ...words('|id |ls |dir |/usr/bin/ |/bin/ |pwd |ver'),
      '| id', '| ls', '| dir', '| /bin/'
    ],
    before: standsBefore([VALUE_START, /["'\s/]{0,2}(?:\d{1,3}(?:\.\d{1,3}){3})?\|?/]),
    pattern: /\|\s?(?:\/(?:usr\/)?bin\/)?(?:id|ls|dir|pwd|ver|cat|uname)\b[\s\w/.:*-]{0,24}(?=["'&<;|]|$)/
  },
  {
    rule: 'cmdi.raw',
    grade: 'likely',
    anchors: pairs(['|', '| '], ['id', 'ls', 'dir', 'whoami']),
    precededBy: VALUE_SIGNS,
    before: standsBefore([VALUE]),
    pattern: /\|\s?(?:id|ls|dir|whoami)\s?(?=["&<;|]|$)/
  },
  {
    rule: 'cmdi.raw',
    grade: 'certain',
    anchors: ['/etc/passwd', '/etc/shadow', '/etc//passwd', '/e?c/', '/???/p'],
    pattern: sequence([
      standsBefore([
        /(?:;|\|\|?|&&?|`|\$\(|\n|\v)\s?(?:\/?(?:usr\/)?bin\/)?/,
        READERS,
        /(?:\s(?:-\w{1,3}\s)?|<|\$\{?ifs\}?|\s?<\s?)/]),
      /\/(?:etc\/{1,2}(?:passwd|shadow)|e\?c\/|\?\?\?\/p)/
    ])
  },
  {
    rule: 'cmdi.raw',
    grade: 'certain',
    anchors: [
      ...words('/dev/tcp/ $ifs (){ certutil {cat, {ls, {echo, {ping, {curl, {wget, -oproxycommand'),
      '-e /bin/', '${ifs}', '() {', 'mkfifo /tmp', '>& /dev', '|base64 -d|', 'mshta http', 'regsvr32 /s'
    ],
    pattern: anyOf([
      /\/dev\/tcp\/(?:\d{1,3}\.|[\w.-]{1,60}\/\d)|(?<=n(?:c|cat|etcat)\s(?:[\w.-]{1,40}\s){0,3})-e\s\/bin\/(?:ba)?sh/,
      /(?<=[\w/})"'])\$\{?ifs\}?(?:\$\d)?[\w/$"'.{?-]|\(\)\s?\{\s?(?:_|:)\s?;\s?\}\s?(?:;|>)/,
      /mkfifo\s\/tmp\/\w{1,10}\s?(?:;|&&)/,
      /certutil(?:\.exe)?\s[\s/\w-]{0,20}urlcache|(?<=[;|&`(=]\s?)\{(?:cat|ls|echo|ping|curl|wget),[^}\n"]{1,60}\}/,
      /\|base64\s-d\|(?:ba)?sh|-oproxycommand=|mshta\shttps?:|regsvr32\s\/s\s[^\n"]{0,40}\/i:http/
    ])
  },
  {
    rule: 'cmdi.raw',
    grade: 'certain',
    anchors: ['-enc ', '-encodedcommand '],
    inside: 'powershell',
    pattern: /-enc(?:odedcommand)?\s[a-z0-9+/]{16}/
  },
  {
    rule: 'cmdi.raw',
    grade: 'likely',
    anchors: [
      ...words('$(whoami) $(id) /bin/sh /bin/bash |bash |sh'),
      'cat /etc/', '$(curl ', '$(wget ', '$(cat ', '$(sleep ', '`whoami`', '`curl ', '`wget ', '`sleep ', '|nc ',
      '| nc '
    ],
    pattern: anyOf([
      sequence([CHAINED, /cat\s\/etc\/\w/]),
      /\$\((?:whoami|id)\)|\$\((?:sleep|curl|wget)\s[^\n)]{1,60}\)|\$\(cat\s\/|`whoami`/,
      /`(?:curl|wget)\s[^\n`]{4,60}`|`sleep\s\d{1,3}`/,
      sequence([standsBefore([/[;|&]\s?/]), /\/bin\/(?:ba)?sh\s-/]),
      /\|\s?nc\s(?:-\w{1,5}\s)?[\d\w.-]{3,40}\s\d{2,5}/
    ])
  },
  {
    // What a web shell is asked with.
    rule: 'cmdi.raw',
    grade: 'likely',
    anchors: ['cmd=', 'command=', 'exec=', 'execute=', 'shell=', 'syscmd='],
    pattern: sequence([
      /(?:cmd|command|exec|execute|shell)=/,
      [
        /(?:id|whoami|ls(?:\s-\w{1,4})?|uname(?:\s-a)?|ipconfig|ifconfig|dir)(?=$|["&])/,
        /cat\s\/|(?:curl|wget)\s(?:-\w\s)?https?:|nslookup\s\w|ping\s(?:-\w\s)?[\w.-]{4}|cmd\s\/c|powershell\s/
      ]
    ])
  }
]

/** Whoever passes a bound chooses what stands before a separator too; code and its readers chain commands as well. */
const CHAINED_COMMANDS: RawRule[] = COMMANDS.filter(({ before }) => before === SEPARATED).map((rule) => ({
  ...rule,
  grade: 'likely',
  before: standsBefore([/(?:;|\|\|?|&&?)\s?(?:\/?(?:usr\/)?s?bin\/)?/]),
  onlyBeyond: true
}))

/** Files that an application never hands out; alone in a URL they are asked for. */
const SYSTEM_FILE = anyOf([
  sequence([
    /etc[/\\]{1,3}/,
    /(?:passwd|shadow|group|hosts|issue|fstab|my\.cnf|ssh|apache2?|nginx|php|crontab|profile|motd|environment)/,
    /\b/
  ]),
  /proc[/\\]{1,3}(?:self|version|cmdline|\d+|net)\b/,
  /win(?:dows|nt)[/\\]{1,3}(?:win\.ini|system|repair|php\.ini)|boot\.ini\b|win\.ini\b/,
  /(?:meta|web)-inf[/\\]|wp-config\.php|\.ssh[/\\]|id_rsa\b|var[/\\]{1,3}log[/\\]|\.(?:bash|mysql)_history/,
  /\.htpasswd|web\.config\b/,
  /windows[/\\]{1,3}system32|\.git[/\\]config/
])

/** Paths that climb out of their folder. */
const TRAVERSALS: RawRule[] = [
  {
    rule: 'traversal.raw',
    grade: 'certain',
    anchors: ['../', '..\\', '..;/'],
    pattern: sequence([/(?:\.\.;?[/\\]{1,4})(?:\w{1,12}[/\\])?/, [SYSTEM_FILE]])
  },
  {
    rule: 'traversal.raw',
    grade: 'certain',
    anchors: ['../', '..\\', '..;/'],
    onlyInHead: true,
    precededBy: '/\\.',
    before: standsBefore([/(?:\.\.;?[/\\]{1,4}\.{0,2}){2}/]),
    pattern: /\.\.;?[/\\]{1,4}(?![/\\.]{0,8}(?:assets|img|images|static|css|js|fonts)\b)/
  },
  {
    rule: 'traversal.raw',
    grade: 'certain',
    anchors: ['..;/', 'filename="..', 'filename=..'],
    pattern: /filename="?(?:\.\.[/\\]{1,2}){2}|(?<=\/)\.\.;\/(?=\w|\.\.;)/
  },
  {
    // Nobody's sources lie that deep.
    rule: 'traversal.raw',
    grade: 'certain',
    anchors: ['../', '..\\'],
    precededBy: '/\\.',
    before: standsBefore([/(?:\.\.[/\\]{1,2}){7}/]),
    pattern: /\.\.[/\\]/
  },
  {
    rule: 'traversal.raw',
    grade: 'likely',
    anchors: ['../', '..\\'],
    precededBy: '/\\.',
    before: standsBefore([/(?:\.\.[/\\]{1,4}\.{0,2}){5}/]),
    pattern: /\.\.[/\\]/
  }
]

/** Files of the system, named outright. */
const FILES: RawRule[] = [
  {
    rule: 'lfi.raw',
    grade: 'certain',
    anchors: [
      ...words('/etc/ etc/passwd /proc/self/ windows/ win.ini boot.ini /web-inf/ /.ssh/ wp-config.php id_rsa'),
      'windows\\'
    ],
    onlyInHead: true,
    pattern: sequence([standsBefore([/[=/\\:]/]), /\/?/, [
      /(?<=\/)etc\/{1,3}(?:passwd|shadow|group)(?=$|[&?;.:)'"\0])/,
      /proc\/self\/(?:environ|cmdline|fd|maps|status|cwd|root)/,
      /windows[/\\]{1,3}(?:win\.ini|system32)|(?:win|boot)\.ini\b|web-inf\/(?:web\.xml|classes)|\.ssh\/id_/,
      /id_rsa(?:$|&)/
    ]])
  },
  {
    rule: 'lfi.raw',
    grade: 'certain',
    anchors: ['file:/'],
    pattern: sequence([
      /file:\/{1,3}(?:localhost\/)?/,
      [
        /etc\/{1,3}(?:passwd|shadow|group|hosts|issue)|proc\/self|[a-z]:[/\\]{1,2}(?:windows|winnt|boot\.ini)/,
        /\/etc\/passwd/
      ]
    ])
  },
  {
    rule: 'lfi.raw',
    grade: 'likely',
    anchors: [
      ...words('/etc/passwd /etc/shadow /proc/self/environ c:/windows/win.ini /windows/win.ini'),
      'c:\\windows\\win.ini', 'c:\\boot.ini'
    ],
    pattern: sequence([standsBefore([/[">=]\s?/]), /[\w/:\\.]{1,24}(?=["<&\0]|$)/])
  }
]

/** Addresses that only the server itself can reach. */
const ADDRESSES: RawRule[] = [
  {
    rule: 'ssrf.raw',
    grade: 'certain',
    anchors: words(`
      169.254.169.254 metadata.google.internal 100.100.100.200 gopher:// dict:// [fd00:ec2::254] 0xa9fea9fe 2852039166
    `),
    pattern: anyOf([
      sequence([
        /(?<=(?:^|["=>'(\s[])\s?(?:https?:)?\/\/(?:[\w.-]{1,30}@)?)/,
        /(?:169\.254\.169\.254|100\.100\.100\.200|metadata\.google\.internal)(?::80)?\//,
        /(?:latest|computemetadata|metadata|opc|openstack|\d{4}-)/
      ]),
      /(?<=(?:^|["=>'(\s[])\s?(?:https?:)?\/\/(?:[\w.-]{1,30}@)?)(?:\[fd00:ec2::254\]|0xa9fea9fe|2852039166)/,
      /(?:gopher|dict):\/\/(?:127\.|localhost|0x|0\.0|10\.|192\.168\.|172\.|\[)[\w.\]:]{0,40}(?:\/|$|["&])/,
      /gopher:\/\/[\w.-]{1,60}:\d{1,5}\/_/
    ])
  },
  {
    rule: 'ssrf.raw',
    grade: 'likely',
    anchors: words(`
      169.254.169.254 metadata.google.internal gopher:// dict:// =http://0x7f =http://[:: =http://0.0.0.0
      =http://2130706433
    `),
    onlyInHead: true
  }
]

/** Line breaks that begin a header or a body of the answer. */
const HEADERS: RawRule[] = [
  {
    rule: 'crlf.raw',
    grade: 'certain',
    anchors: ['\vset-cookie', '\vlocation', '\vcontent-', '\vhttp/', '\vrefresh', '\vx-', '\vaccess-control', '\v<'],
    onlyInHead: true,
    pattern: sequence([/\v/, [
      sequence([
        [
          /set-cookie|location|content-(?:type|length|disposition)|refresh|x-[a-z-]{2,30}/,
          /access-control-[a-z-]{5,24}/
        ],
        /\s?:/
      ]),
      /http\/\d|<(?:script|html|svg|img)\b/
    ]])
  },
  {
    rule: 'crlf.raw',
    grade: 'certain',
    anchors: ['\vset-cookie', '\vlocation', '\vcontent-length', '\vhttp/'],
    pattern: sequence([
      /\v/,
      [
        /set-cookie\s?:\s?[\w.-]{1,40}=|location\s?:\s?(?:https?:|\/)|content-length\s?:\s?\d/,
        /http\/[12](?:\.\d)?\s\d/
      ]
    ])
  },
  {
    rule: 'crlf.raw',
    grade: 'likely',
    anchors: ['\nset-cookie'],
    pattern: /(?<=[=:"][^\n"&]{0,40})\nset-cookie\s?:\s?[\w.-]{1,40}=/
  }
]

/** Directives of server-side and edge-side includes. */
const SERVER_INCLUDES: RawRule[] = [
  {
    rule: 'ssi.raw',
    grade: 'certain',
    anchors: ['<!--#', '<!-- #', '<esi:'],
    pattern: anyOf([
      /<!--\s?#\s?(?:exec|include|echo|config|printenv|fsize|flastmod|set)\b/,
      /<esi:(?:include|inline|vars|debug)\b/
    ])
  }
]

/** Entities and inclusions of XML that name something outside of the document. */
const ENTITIES: RawRule[] = [
  {
    rule: 'xxe.raw',
    grade: 'certain',
    anchors: ['<!entity', '<xi:include', '<!doctype', 'xmlns:xi='],
    inProseToo: true,
    pattern: anyOf([
      /<!entity\s(?:%\s?)?[\w.%:-]{1,40}\s(?:system|public\s["'][^"'\n]{0,80}["'])\s?["']/,
      /<!entity\s%\s?[\w.-]{1,40}\s["']\s?</,
      /<xi:include\s[^>\n]{0,60}href\s?=\s?["'](?:file:|https?:|\/|php:)/,
      sequence([
        /<!doctype\s[\w:.-]{1,40}\s(?:system|public\s["'][^"'\n]{0,60}["'])\s?["']/,
        /(?:file:|ftp:|php:|gopher:|expect:|jar:)/
      ])
    ])
  },
  {
    rule: 'xxe.raw',
    grade: 'likely',
    anchors: ['<!entity', '<!doctype'],
    pattern: /<!entity\s[\w.-]{1,40}\s["']|<!doctype\s(?!html|svg|math|plist)[\w:.-]{1,40}\s(?:system\s["']|\[\s?<!)/
  }
]

export const SYSTEM_RULES: RawRule[] = [
  ...COMMANDS,
  ...CHAINED_COMMANDS,
  ...TRAVERSALS,
  ...FILES,
  ...ADDRESSES,
  ...HEADERS,
  ...SERVER_INCLUDES,
  ...ENTITIES
]
