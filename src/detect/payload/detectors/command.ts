import { anyOf, captured, repeated, sequence } from '../../../std/regex.ts'
import { wordSet } from '../../../std/words.ts'
import { CHAR } from '../characters.ts'
import { certain, certainAnywhere, leftOut, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { WORD } from '../words.ts'
import { SHELL_COMMANDS, SHELL_WORDLIKE, WINDOWS_COMMANDS } from './command-words.ts'

/**
 * OS command injection: what stands where a shell would look for a command, and what shell syntax surrounds
 * it. Sources: POSIX shell grammar, GTFOBins, LOLBAS.
 */
export function detectCommand (subject: Subject): void {
  const { characters, words } = subject
  const syntax = characters &
    (CHAR.dollar | CHAR.backtick | CHAR.semicolon | CHAR.pipe | CHAR.ampersand | CHAR.lineBreak | CHAR.less |
      CHAR.greater | CHAR.brace | CHAR.backslash | CHAR.bang | CHAR.caret | CHAR.percent | CHAR.question |
      CHAR.star | CHAR.bracket | CHAR.quote)
  const named = words & (WORD.shell | WORD.shellWordlike | WORD.windows)
  if (
    syntax === 0 && !subject.flat.includes('bin/') && subject.text.charCodeAt(0) !== 45 &&
    (named === 0 || (characters & (CHAR.space | CHAR.slash)) === 0)
  ) {
    return
  }
  addSyntaxSigns(subject)
  const line = (characters & (CHAR.plus | CHAR.space)) === CHAR.plus ? subject.text.replaceAll('+', ' ') : subject.text
  if (named !== 0) addPositionSigns(subject, line)
  if (
    (characters & CHAR.dollar) !== 0 && (characters & CHAR.equals) !== 0 && subject.text.length < 400 &&
    !subject.document
  ) {
    addVariableSigns(subject)
  }
  if (
    (characters &
        (CHAR.dollar | CHAR.backslash | CHAR.quote | CHAR.doubleQuote | CHAR.caret | CHAR.brace |
          CHAR.percent)) === 0 || subject.document
  ) {
    return
  }
  const plain = withoutTricks(subject.text)
  if (plain !== subject.text) addObfuscationSigns(subject, plain)
}

const ASSIGNED = /(?:^|[;&| ])([a-z_]\w{0,15})=[^;&\s=]{1,40}(?=[;&])/gi

/** A command put together from variables: `a=c;b=at;$a$b`. */
function addVariableSigns (subject: Subject): void {
  let count = 0
  for (const match of subject.text.matchAll(ASSIGNED)) {
    if (++count > 32) return leftOut(subject, 'variables of a command beyond the 32nd')
    const name = match[1] as string
    const used = subject.text.indexOf('$' + name, match.index)
    if (used !== -1) {
      return likely(subject, 'cmdi.variable-command', 0.82, subject.text.slice(match.index, match.index + 50))
    }
  }
}

const SEPARATOR = /[;|&`\n\r(!]/g
/** Clauses read in one value; the rest is named in notInspected. */
const POSITIONS_MAX = 512

/** Characters of HTML that are called like commands. */
const ENTITY = /^&(?:copy|reg|top|map|fork|dash|int|sc|sort|cap|cut);/i

interface Clause { name: string, rest: string, bare: boolean, path: boolean, prefixed: boolean }

/** Words before the command (`sudo`, `A=1`), then the folder that it lies in, then its name. */
const CLAUSE = sequence([
  /^[\s"'@\\(){+]*/,
  captured([
    repeated([
      sequence([
        [
          /sudo|time|nohup|exec|command|builtin|env|xargs|then|do|else|eval|start|call|watch|strace|ltrace|flock/,
          /ionice|setsid|stdbuf|busybox|timeout \d+|\w+=\S*/
        ],
        / +/
      ])
    ], '{0,3}')
  ]),
  /["'\\]{0,2}((?:[a-z]:)?[~.]{0,2}(?:[/\\][\w.-]+){0,5}[/\\])?/,
  /([a-z0-9_][\w.+-]*?)(?:\.exe|\.com|\.bat)?["'\\]{0,2}(?=$|[\s;|&<>`)}"'/\\,:*$])/
], 'i')

/**
 * Reads the clause that begins at `from`: its command, how it was written, and what follows up to the next
 * separator.
 */
function readClause (text: string, from: number): Clause | null {
  const piece = text.slice(from, from + 160)
  const match = CLAUSE.exec(piece)
  if (match === null) return null
  const rest = piece.slice(match[0].length)
  const end = rest.search(/[;|&`\n\r)]/)
  return {
    name: (match[3] as string).toLowerCase().replace(/(?<![\d.])[\d.]+$/, ''),
    rest: end === -1 ? rest : rest.slice(0, end),
    bare: end === -1 ? rest.trim() === '' : rest.slice(0, end).trim() === '',
    path: match[2] !== undefined,
    prefixed: match[1] !== ''
  }
}

function addPositionSigns (subject: Subject, text: string): void {
  addClauseSigns(subject, readClause(text, 0), '')
  SEPARATOR.lastIndex = 0
  for (let count = 0; ; count++) {
    const match = SEPARATOR.exec(text)
    if (match === null) return
    if (count >= POSITIONS_MAX) return leftOut(subject, `commands beyond the ${POSITIONS_MAX}th`)
    const separator = text.startsWith('$(', match.index - 1) ? '$(' : match[0]
    if (separator === '&' && ENTITY.test(text.slice(match.index, match.index + 8))) continue
    if (separator !== '(') {
      addClauseSigns(subject, readClause(text, match.index + 1), context(text, match.index, separator))
    }
  }
}

/** A separator between blanks reads as prose (`Smith & Sons`, `late; then`): it gets a lower case letter of doubt. */
function context (text: string, at: number, separator: string): string {
  if (separator !== '\n' && separator !== '\r' && text.slice(0, at).trim() === '') return separator
  if (separator === '&' && text.charAt(at - 1) === ' ' && text.charAt(at + 1) === ' ') return 'prose'
  if (
    (separator === ';' || separator === '!') && text.charAt(at + 1) === ' ' &&
    /[a-z0-9]/i.test(text.charAt(at - 1))
  ) {
    return 'prose'
  }
  if (
    separator === '|' && text.charAt(at - 1) === ' ' && text.charAt(at + 1) === ' ' &&
    text.charAt(at + 2) !== '/'
  ) {
    return 'prose'
  }
  if ((separator === '`' || separator === '|') && text.length > 120 && at > 40) return 'prose'
  if (
    (separator === '`' || separator === '|') &&
    /[a-z]{3} [a-z]{2}[^;|&`]{0,80}$/i.test(text.slice(Math.max(0, at - 100), at)) &&
    !/^\W*(?:cat|ls|echo|id|ping)\b/.test(text)
  ) {
    return 'prose'
  }
  if (separator === '`' && isInlineCode(text, at)) return 'quoted'
  if (separator === '\n' || separator === '\r') return 'line'
  return separator
}

/** `run `ls -la` in the shell`: code between words of a sentence, as markdown writes it. */
function isInlineCode (text: string, at: number): boolean {
  const close = text.indexOf('`', at + 1)
  return close !== -1 && /[a-z]{2} $/i.test(text.slice(Math.max(0, at - 12), at)) &&
    /^,? [a-z]{2,}(?: [a-z]{2,}|[.!?]?$)/i.test(text.slice(close + 1, close + 24))
}

const FLAG = /(?:^|\s)-{1,2}[a-z?]|\s\/[a-z?](?:\s|$|:)/i
const TARGET = anyOf([
  /(?:^|\s|["'=<>,:])(?:[~.]{0,2}\/|[a-z]:(?:[\\/]|\s*(?:$|[|"&]))|\\\\)|https?:|(?:\d{1,3}\.){3}\d|\$\{?\w/,
  /[<>]|passwd|localhost/
], 'i')
const SYSTEM_FILE = /\/etc\/|\/dev\/(?:tcp|null)|passwd|shadow|\/proc\/|\.ssh|boot\.ini|win\.ini|\/bin\/|\\windows/i

/**
 * `name|other`, `a;b`: a separator between words without blanks joins names more often than it ends a
 * command. Reads the end only.
 */
function endsGlued (text: string): boolean {
  const end = text.slice(-64)
  return (/[\w)\]][;|`]\w+$|[a-z]\|\w+$/i.test(end) ||
    (text.length >= 40 && !/\s/.test(text.slice(0, 400)))) && !/\d[;|]\w+$/.test(end)
}

/** The start of a clause, as evidence shows it, where it is no character of the text. */
const SHOWN: Readonly<Record<string, string>> = { prose: '', quoted: '', line: '\\n' }

function addClauseSigns (subject: Subject, clause: Clause | null, separator: string): void {
  if (clause === null) return
  const unique = SHELL_COMMANDS.has(clause.name) || (WINDOWS_COMMANDS.has(clause.name) && clause.name.length > 3)
  const wordlike = SHELL_WORDLIKE.has(clause.name) || WINDOWS_COMMANDS.has(clause.name)
  if (!unique && !wordlike) return
  const flag = FLAG.test(clause.rest)
  const target = TARGET.test(clause.rest)
  const match = `${SHOWN[separator] ?? separator}${clause.name}${clause.rest.slice(0, 40)}`
  if (separator === '') return addLeadingCommandSigns(subject, clause, unique, flag, target, match)
  if (separator === 'quoted') return weak(subject, 'cmdi.quoted-command', 0.2, match)
  if (separator === 'prose' || separator === 'line') {
    return addSeparatedCommandSigns(subject, separator, unique, flag, target, clause, match)
  }
  if (clause.path && (unique || clause.bare) && SYSTEM_FILE.test(match)) {
    return certain(subject, 'cmdi.separated-command', match)
  }
  if (unique && SYSTEM_FILE.test(clause.rest)) return certain(subject, 'cmdi.separated-command', match)
  if (separator === '$(' && (unique || SUBSTITUTED.has(clause.name)) && /^ \S/.test(clause.rest)) {
    return likely(subject, 'cmdi.substitution', subject.text.length < 240 ? 0.82 : 0.6, match)
  }
  if (PROBES.has(clause.name) && clause.bare && subject.text.length < 120) {
    return likely(subject, 'cmdi.separated-command', 0.82, match)
  }
  if (unique && (flag || clause.path || (target && !/^\s*=/.test(clause.rest)))) {
    return likely(subject, 'cmdi.separated-command', subject.text.length < 240 ? 0.86 : 0.6, match)
  }
  if (unique) {
    return likely(
      subject,
      'cmdi.separated-command',
      clause.bare && !(subject.text.length < 80 && /^\w+[;&|]\w+$/.test(subject.text))
        ? 0.85
        : subject.text.length < 60 && subject.text.startsWith(separator) && separator !== '!'
          ? 0.77
          : 0.6,
      match
    )
  }
  if (SYSTEM_FILE.test(clause.rest)) return certain(subject, 'cmdi.separated-command', match)
  if (flag || (clause.bare && separator !== '&' && separator !== '!')) {
    likely(subject, 'cmdi.separated-word', flag ? 0.8 : endsGlued(subject.text) ? 0.5 : 0.8, match)
  } else if (target || clause.bare) likely(subject, 'cmdi.separated-word', 0.55, match)
}

/**
 * Words that say something to a shell once they stand in `$( )` with an argument; `$(this)` and `$(select)`
 * are a page's own script.
 */
const SUBSTITUTED = wordSet('echo sleep cut tr head tail date sort wc hostname command type find')
/** Commands that only tell where one is: nobody joins names with a separator and one of these. */
const PROBES = wordSet(`
  whoami ifconfig ipconfig netstat systeminfo tasklist printenv env uname getent lastlog
`)

/** Commands that are also words or names which sentences and titles begin with. */
const SHELL_ENGLISH = wordSet(`
  cat touch mount screen mail expect fish kill fold nice ed ex ar strings paste top dash php python ruby perl
  lua docker helm git aws az npm yarn mysql mongo chef puppet vagrant terraform ansible pr ps tar cc nl eval
  exec go
`)
const NETWORK_COMMANDS = wordSet(`
  curl wget ping ping6 nslookup traceroute tracepath nc ncat netcat socat telnet ssh scp sftp rsync ftp tftp
  lftp lwp-download axel aria2c nmap rlogin rsh
`)
/** Commands that are clients, and say so in their agent. */
const CLIENT_COMMANDS = wordSet(`
  curl wget git svn php python python2 python3 perl ruby lua nodejs java docker podman helm kubectl aws gcloud
  az npm yarn pip pip3 gem cpan apt dnf yum vagrant terraform puppet lftp aria2c axel ansible fish mail mutt
  emacs screen
`)

function addLeadingCommandSigns (
  subject: Subject,
  clause: Clause,
  unique: boolean,
  flag: boolean,
  target: boolean,
  match: string
): void {
  if (subject.document) return
  if (clause.path && unique && /bin[/\\]|system32/i.test(subject.text.slice(0, 40))) {
    return likely(subject, 'cmdi.command-path', 0.8, match)
  }
  if (SYSTEM_FILE.test(clause.rest) && (unique || flag)) return certain(subject, 'cmdi.command-line', match)
  if (unique && clause.bare && (clause.prefixed || /\n$/.test(subject.text)) && subject.text.length < 60) {
    return likely(subject, 'cmdi.command-line', 0.76, match)
  }
  if (unique && clause.bare && subject.text.startsWith('\\')) return likely(subject, 'cmdi.command-line', 0.76, match)
  if (
    unique && !SHELL_ENGLISH.has(clause.name) && !subject.text.includes('.\n') &&
    /^[^\n.]{3,80}(?:\.\w{2,5})?\n$/.test(subject.text) && subject.text === subject.text.toLowerCase()
  ) {
    return likely(subject, 'cmdi.command-line', 0.76, match)
  }
  if (
    NETWORK_COMMANDS.has(clause.name) &&
    /^(?: -\w+(?: \d+)?)* (?:\w+@)?[\w-]+(?:\.[\w-]+)*\.[a-z0-9]{2,}(?:[:/]\S*)?$/i.test(clause.rest)
  ) {
    return likely(subject, 'cmdi.command-line', 0.77, match)
  }
  if (
    (subject.kind === 'agent' || subject.field === 'user-agent') && unique &&
    !CLIENT_COMMANDS.has(clause.name) && /^(?:[a-z]+-)?[a-z]+(?: [a-z][\w.-]*){0,4} ?$/.test(subject.text)
  ) {
    return likely(subject, 'cmdi.command-line', 0.76, match)
  }
  if (unique && flag && subject.text.length < 200) likely(subject, 'cmdi.command-line', 0.77, match)
  else if (
    unique && target && /^\s/.test(clause.rest) &&
    (!/https?:/.test(clause.rest) || /^(?:curl|wget|lwp|aria|axel|nc|iwr)/.test(clause.name)) &&
    !/^(?:git|svn|expect|mail|screen|ping|dig)$/.test(clause.name)
  ) {
    likely(subject, 'cmdi.command-line', 0.76, match)
  } else if (flag && subject.text.length < 80) likely(subject, 'cmdi.command-line', 0.5, match)
  else if (unique && subject.text.length < 80 && (clause.rest.trim() !== '' || subject.kind === 'header')) {
    weak(subject, 'cmdi.command-line', clause.name.includes('-') ? 0.3 : 0.14, match)
  }
}

function addSeparatedCommandSigns (
  subject: Subject,
  separator: string,
  unique: boolean,
  flag: boolean,
  target: boolean,
  clause: Clause,
  match: string
): void {
  if (SYSTEM_FILE.test(clause.rest) && unique) return certain(subject, 'cmdi.separated-command', match)
  if (unique && (flag || target)) {
    return likely(
      subject,
      'cmdi.separated-command',
      separator === 'prose' && /^.*\b(?:me|to|it|you|into|the)\b/.test(match)
        ? 0.4
        : separator === 'line' || /https?:|\/\w+\/|\d\.\d|[a-z]:\\/i.test(clause.rest) ||
            (flag && subject.text.length < 48)
          ? 0.82
          : 0.6,
      match
    )
  }
  if (unique && clause.bare && separator === 'line') likely(subject, 'cmdi.separated-command', 0.76, match)
  else if ((unique || clause.name === 'id') && clause.bare) {
    likely(subject, 'cmdi.separated-command', subject.text.length < 40 ? 0.76 : 0.45, match)
  } else if (flag || (target && SYSTEM_FILE.test(clause.rest))) {
    likely(subject, 'cmdi.separated-word', 0.6, match)
  }
}

/** `needs` are characters without which the pattern cannot match, `word` a kind of word: most are not tried at all. */
interface Syntax { rule: string, value: number, pattern: RegExp, needs?: number, word?: number }

const SYNTAX: Syntax[] = [
  {
    rule: 'cmdi.shellshock',
    value: 1,
    needs: CHAR.paren | CHAR.brace,
    pattern: /\( ?\) ?\{ ?[:_]? ?;+ ?\}|^ ?\( ?\) ?\{ ?[^\s}]/
  },
  { rule: 'cmdi.function-open', value: 0.78, needs: CHAR.paren | CHAR.brace, pattern: /^ ?\( ?\) ?\{ ?$/ },
  { rule: 'cmdi.dev-tcp', value: 1, pattern: /\/dev\/(?:tcp|udp)\/[\w.$-]+\/\d|(?:ba|z|k)?sh -i ?[>&2]/ },
  { rule: 'cmdi.field-separator', value: 0.86, needs: CHAR.dollar, pattern: /\$(?:\{ifs\b[^}]{0,12}\}|ifs\b)/ },
  {
    rule: 'cmdi.shell-run',
    value: 0.84,
    pattern: anyOf([
      /\b(?:ba|z|k|c|da)?sh (?:-\w+ )?-c\b|\b(?:ba|z|k|da)?sh,-c\b|\b(?:nc|ncat|netcat) [^|;]{0,60}-e\b/,
      /\bpowershell(?:\.exe)? .{0,40}-(?:e|enc|c|nop|w|ep|exec|command)\w*\b|\bcmd(?:\.exe)? ?\/[ck]\b/
    ])
  },
  {
    rule: 'cmdi.binary-path',
    value: 0.78,
    pattern: /(?:^|[^\w.])\/?(?:usr\/(?:local\/)?)?s?bin\/\w{2,}|\\windows\\system32|winnt\/system32/
  },
  {
    rule: 'cmdi.glob-path',
    value: 0.8,
    needs: CHAR.slash,
    pattern: anyOf([
      sequence([
        /\/(?:etc|bin|usr|dev|proc|tmp|var|root|home)?\/?/,
        /(?:\w{0,12}[?*[][\w?*!\][^-]{0,12}\/\w*[?*[\w]|\?{2,}\/)/
      ]),
      /\/(?:etc|bin|usr)\/\w*[?*[][\w!\]?*]|\/\[\w\W{1,6}\]\w/
    ])
  },
  {
    rule: 'cmdi.arithmetic',
    value: 0.76,
    needs: CHAR.dollar,
    pattern: /\$\[[^\]a-z]{0,40}\]|\$\(\([^\n]{1,40}\)\)|\$\{[a-z_]\w{0,30}(?:[#%]|:[-+?0-9])/
  },
  { rule: 'cmdi.process-substitution', value: 0.8, pattern: /[<>]\( ?[a-z/]|<<< ?["'$\w(]/ },
  {
    rule: 'cmdi.windows-for',
    value: 0.82,
    needs: CHAR.percent | CHAR.paren,
    pattern: /\bfor (?:\/[dflr] )?[^%()]{0,80}%%?\S{1,12} in ?\(/
  },
  {
    rule: 'cmdi.windows-if',
    value: 0.8,
    pattern: sequence([
      /^\W{0,4}if ?(?:\/i )?(?:not )?/,
      [
        /exist \S|defined \w|errorlevel \d|cmdextversion|"[^"]{1,40}" ?==/,
        /[[("%]?[^\s"=]{1,40}["\])%]? ?(?:===?|equ |neq |lss |leq |gtr |geq )/
      ],
      /.{1,80}/
    ])
  },
  {
    rule: 'cmdi.powershell',
    value: 0.8,
    pattern: sequence([
      /\b/,
      [
        /invoke-(?:webrequest|expression|restmethod|command|item|wmimethod)/,
        /start-(?:process|bitstransfer|job|sleep)|new-(?:object|item|service)/,
        /get-(?:content|process|childitem|wmiobject|credential|service|item|executionpolicy)/,
        /set-(?:executionpolicy|content|itemproperty)|out-file|add-type|convertto-securestring|iwr https?:/,
        /iex ?\(/
      ]
    ])
  },
  {
    rule: 'cmdi.delay',
    value: 0.82,
    pattern: /(?:[;|&`\n]|\$\() ?sleep(?: ?\$\{?ifs\}?|[ +]) ?\d{1,4}s? ?(?:$|[;|&`)#\n])/
  },
  {
    rule: 'cmdi.windows-variable',
    value: 0.8,
    needs: CHAR.percent,
    pattern: anyOf([
      sequence([
        /%/,
        [
          /comspec|systemroot|windir|programfiles|programdata|appdata|username|userprofile|path|pathext|temp/,
          /tmp|os/
        ],
        /(?::[^%]{1,24})%/
      ]),
      /%comspec% ?\/[ck]\b/
    ])
  },
  { rule: 'cmdi.caret-word', value: 0.8, needs: CHAR.caret, pattern: /\b[a-z]{1,6}(?:\^[a-z]{1,6}){3,}\b/ },
  {
    rule: 'cmdi.option',
    value: 0.78,
    needs: CHAR.dash,
    pattern: anyOf([
      /^-{1,2}exec\w* \S/,
      sequence([
        /(?:^|\s)-{1,2}/,
        [
          /o ?proxycommand|use-askpass|upload-pack|receive-pack|checkpoint-action|to-command/,
          /use-compress-program|post-file|output-document|load-extension|init-command|rsh|config=?core\./
        ],
        /[= ]{1,2}\S/
      ])
    ])
  },
  {
    rule: 'cmdi.lolbin',
    value: 0.8,
    word: WORD.windows,
    pattern: anyOf([
      /\bprocess call create\b|\bmshta(?:\.exe)? (?:https?:|vbscript:|javascript:)/,
      /\bregsvr32(?:\.exe)?(?: \/\w){0,4} \/i:/,
      /\bcertutil(?:\.exe)? (?:-\w{1,12} )?-(?:urlcache|decode|encode)/,
      /\bbitsadmin(?:\.exe)? \/(?:transfer|create|addfile)/,
      /\brundll32(?:\.exe)? (?:javascript:|\S{1,60}\.dll ?,)/,
      sequence([
        /\bnet1? /,
        [
          /user|localgroup|share|use|view|start|stop|accounts|group/
        ],
        /\b(?: ?$| ?\/| ?[\\&|]| \S+ \S+ ?\/add)/
      ]),
      /\bschtasks(?:\.exe)? \/create|\breg(?:\.exe)? (?:add|query|save|delete) (?:hk|\\)/
    ])
  },
  {
    rule: 'cmdi.dotnet',
    value: 0.8,
    pattern: anyOf([
      sequence([
        /\[(?:system\.)?/,
        [
          /diagnostics\.process|net\.webclient|reflection\.assembly|convert|text\.encoding|io\.file/
        ],
        /\]::\w/
      ]),
      /\bsystem\.diagnostics\.process\b.{0,4}(?:start|\()|& ?\(["'][^"']{1,20}["'] ?\+ ?["']/
    ])
  },
  {
    rule: 'cmdi.ansi-quote',
    value: 0.8,
    needs: CHAR.dollar | CHAR.quote | CHAR.backslash,
    pattern: /(?:^|[\s;|&`(])\$'(?:\\x?[0-9a-f]{2,3}){2,}/
  },
  {
    rule: 'cmdi.shorthand',
    value: 0.76,
    pattern: /^(?:\w{0,12}=)?(?:~[+-]\d{0,3}|![!-]\d{0,3}(?:!-?\d+)?|!\?\w+\??)$/
  },
  { rule: 'cmdi.change-directory', value: 0.78, pattern: /(?:^|[;&|]) ?cd [/\\~.]{1,3}\w{0,12} ?[;&|]/ },
  {
    rule: 'cmdi.function',
    value: 0.8,
    needs: CHAR.paren | CHAR.brace | CHAR.ampersand,
    pattern: /\b\w{1,12} ?\( ?\) ?\{[^{}]{0,40}[^{}&]&[^{}&]{0,20}\}/
  },
  {
    rule: 'cmdi.dot-command',
    value: 0.78,
    needs: CHAR.dot,
    pattern: sequence([
      /[;\n] ?(?:\\n)?\.\W{0,3}/,
      [
        /shell|sh|system|databases|tables|schema|import|load|output|once|read|open|dump|excel|save|backup/
      ],
      /\b/
    ])
  },
  {
    rule: 'cmdi.variable-position',
    value: 0.77,
    needs: CHAR.dollar,
    pattern: /(?:[;|`]|&&) ?\$\{?[a-z_]\w{0,12}(?:[ $}\d]|$)/
  },
  {
    rule: 'cmdi.word-braces',
    value: 0.77,
    needs: CHAR.brace | CHAR.comma,
    pattern: /[a-z]\{[a-z]{1,8},[a-z]{1,8}\}[a-z]|^\{,(?:\$?["'])?[a-z]\w{1,20}["']?,?\}/
  },
  { rule: 'cmdi.special-variables', value: 0.78, needs: CHAR.dollar, pattern: /[a-z]\$[-_][^$]{1,20}[a-z]\$[-_]/ },
  {
    rule: 'cmdi.fork',
    value: 0.82,
    needs: CHAR.paren | CHAR.brace | CHAR.pipe | CHAR.semicolon,
    pattern: /[\w:.] ?\( ?\) ?\{ ?.{1,12}\|.{0,12}&? ?;? ?\} ?;/
  },
  {
    rule: 'cmdi.shell-variable',
    value: 0.77,
    needs: CHAR.dollar,
    pattern: sequence([
      /\$/,
      [
        /\{(?:shell|path|home|ifs|pwd|bash\w*|hostname|oldpwd|cmd)\b/,
        /(?:shell|path|home|ifs|pwd|bash\w*|hostname|oldpwd)\b(?!=)/
      ]
    ])
  },
  { rule: 'cmdi.split-word', value: 0.78, pattern: /[a-z](?:\$(?:[@?*!]|\(\)|\{\})|``|[<>]\(\))[a-z]/ },
  { rule: 'cmdi.leading-separator', value: 0.77, pattern: /^ ?[;|&] ?[a-z][\w.-]{1,30} +-{1,2}[a-z]/ },
  { rule: 'cmdi.redirect', value: 0.5, needs: CHAR.greater, pattern: /\d?>&\d|> ?\/(?:dev|tmp|var|etc)\/\w/ },
  { rule: 'cmdi.alias', value: 0.76, needs: CHAR.equals, pattern: /^\W{0,3}alias (?:-p )?[\w-]{1,30}=/ },
  {
    rule: 'cmdi.brace-expansion',
    value: 0.78,
    needs: CHAR.brace | CHAR.comma,
    pattern: anyOf([
      /^[^\w{]{0,4}\{,?[a-z$/#][\w$/.#-]{0,20},[^{}\s:"]{0,40}\}/,
      /\{,?(?:cat|ls|cd|id|nc|ping|echo|curl|wget|sh|bash)\w*,/
    ])
  }
]

function addSyntaxSigns (subject: Subject): void {
  for (const entry of SYNTAX) {
    if (entry.needs !== undefined && (subject.characters & entry.needs) !== entry.needs) continue
    if (entry.word !== undefined && (subject.words & entry.word) === 0) continue
    const match = entry.pattern.exec(subject.flat)
    if (match === null) continue
    // Variables of a shell are written in capitals; `${home}` in small letters is a template's.
    if (entry.rule === 'cmdi.shell-variable' && !/\$\{?[A-Z]{2}/.test(subject.text)) continue
    if (subject.kind === 'path' && (entry.rule === 'cmdi.binary-path' || entry.rule === 'cmdi.arithmetic')) continue
    if (entry.value === 1) certainAnywhere(subject, entry.rule, match[0])
    else likely(subject, entry.rule, entry.value, match[0])
  }
}

/**
 * The text without what shells drop: empty quotes, quotes and escapes inside words, empty expansions, carets,
 * glob classes of one letter.
 */
function withoutTricks (text: string): string {
  return text
    .replace(/\$\{?IFS\}?(?:\$?\d)?/g, ' ')
    .replace(/\$(?:[@*$\d!]|\(\)|\{[@*\d]\}|[a-z]{1,2}(?=[\\/\s]|$))|\$\{\w{1,12}\}|``/g, '')
    .replace(/(?<=\w)(?:''|""|['"^\\])(?=\w|[/\s])|\\(?=[a-z])/gi, '')
    .replace(/\[([a-z])\]/gi, '$1')
    .replace(
      /\{([\w/$-]+),([^{}]{0,60})\}/g,
      (_whole: string, first: string, rest: string) => `${first} ${rest.replaceAll(',', ' ')}`
    )
}

function addObfuscationSigns (subject: Subject, plain: string): void {
  const signs = subject.signs
  const before = signs.length
  addPositionSigns(subject, plain)
  const system = /\/etc\/(?:passwd|shadow|group|hosts)|\/bin\/(?:ba)?sh/.exec(plain)
  if (system !== null && !subject.text.includes(system[0])) {
    likely(subject, 'cmdi.hidden-word', 0.84, subject.text.slice(0, 60))
  }
  // Hiding is a sign of its own: what is stronger than before came out of it.
  let known = 0
  for (let at = 0; at < before; at++) known = Math.max(known, (signs[at] as { value: number }).value)
  const stronger = signs.slice(before).filter((sign) => sign.value > known)
  signs.length = before
  signs.push(...stronger)
}
