import { anyOf, sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { certain, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'

/**
 * Path traversal and local files: climbing units in every spelling that a lax decoder accepts, and files
 * nobody serves. Sources: OWASP path traversal, CAPEC-126, the Linux FHS, Windows and web-server defaults.
 */
export function detectPath (subject: Subject): void {
  const { characters } = subject
  if ((characters & (CHAR.slash | CHAR.backslash | CHAR.dot)) === 0) return
  const slashes = characters & (CHAR.slash | CHAR.backslash)
  if (slashes !== 0 || subject.flat.includes('0x2') || subject.flat.includes('......')) addClimbSigns(subject)
  addFileSigns(subject)
}

const UNIT = /(?:\.|0x2e|%2e|%c0%ae|%252e){2,3}(?:[/\\%]|0x2f|0x5c|%2f|%5c|%c0%af|%252f|%255c)+/g

const EVASIVE_CLIMB = anyOf([
  /(?:^|[^a-z.])\.{2,}(?:\\|[/\\]{2,}|0x|;)|0x2e|(?:^|[^a-z.])\.\.\.[/\\]|%(?:25|c0|2e|5c)|\\\.\./,
  /\.[/\\]\.\.|^[/\\]\.\.|^file:/
])

function addClimbSigns (subject: Subject): void {
  const text = subject.flat
  if (!text.includes('..') && !text.includes('0x2e') && !text.includes('%2e')) return addPaddingSigns(subject)
  UNIT.lastIndex = 0
  let count = 0
  let first = -1
  for (let match = UNIT.exec(text); match !== null && count < 64; match = UNIT.exec(text)) {
    if (first === -1) first = match.index
    count++
  }
  const shown = first === -1 ? '..' : text.slice(first, first + 50)
  if (count === 0) {
    if (/[/\\]\.\.$/.test(text) && !subject.document) likely(subject, 'traversal.climb', 0.6, shown)
    return addPaddingSigns(subject)
  }
  const file = FILES.test(text) || NAMED_TARGET.test(text)
  const odd = EVASIVE_CLIMB.test(text)
  if (count >= 2 && file) certain(subject, 'traversal.climb-to-file', shown)
  else if (count >= 3 && !isRelativeImport(subject, text)) certain(subject, 'traversal.climb', shown)
  else if (count === 2 && !file && !odd && ASSET.test(text)) likely(subject, 'traversal.climb', 0.4, shown)
  else if (file || odd || count === 2) {
    likely(subject, 'traversal.climb', subject.kind === 'path' && !odd && !file ? 0.5 : 0.8, shown)
  } else if (/[a-z]\.{2,4}[/\\]/.test(text)) weak(subject, 'traversal.climb', 0.2, shown)
  else {
    likely(
      subject,
      'traversal.climb',
      subject.kind === 'path' || subject.kind === 'referer'
        ? 0.4
        : /^\.\.?[/\\][\w.-]+$/.test(text)
          ? 0.55
          : 0.6,
      shown
    )
  }
}

/** Files that pages and sources refer to by relative paths. */
const ASSET = /^\.\.\/\.\.\/[\w/@.-]+\.(?:png|jpe?g|gif|svg|webp|ico|css|scss|m?jsx?|tsx?|md|woff2?)$/

/** `../../../assets/logo.png` inside markup or code: a relative link, not a request for one. */
function isRelativeImport (subject: Subject, text: string): boolean {
  return subject.document ||
    (/(?:src|href|import|from|require)[\s=("']{1,4}\.\.\//.test(text) && !/etc\/|windows|boot/.test(text))
}

const NAMED_TARGET = anyOf([
  /\{file\}|%00|\.(?:ini|conf|config|htaccess|htpasswd|log|asp|aspx|asa|php|jsp|cgi|exe|bat|passwd)\b/,
  /cmd\.exe|(?:^|[/\\])(?:winnt|windows|inetpub)[/\\]/
])

/**
 * Padding that path lists use to slip past a normaliser: runs of dots, of `./`, of slashes, of one letter,
 * before a name.
 */
function addPaddingSigns (subject: Subject): void {
  if (subject.document || subject.kind === 'agent' || subject.text.length > 4096) return
  const text = subject.flat
  if (/(?:[/\\]\.){3}[/\\]|[/\\]\.{5}|\.{3}[/\\]\.{3,}[/\\]|^[/\\]\.{3,4}(?:[/\\]|\W)/.test(text)) {
    likely(subject, 'traversal.padding', 0.78, text.slice(0, 50))
  } else if (/^[/\\]{4,}[^/\\]/.test(text)) likely(subject, 'traversal.slashes', 0.77, text.slice(0, 50))
  else if (/\.\.;(?:[/\\.]|$)|\.\\;/.test(text)) likely(subject, 'traversal.padding', 0.77, text.slice(0, 50))
  else if (/^file:\/?[a-z]:/.test(text)) likely(subject, 'lfi.file-url', 0.77, text.slice(0, 50))
  else if (/^(?:\.\/|\/\.)+\/?$/.test(text) && text.length > 2 && subject.kind !== 'path') {
    likely(subject, 'traversal.dots', 0.5, text.slice(0, 50))
  } else if (/^\.{6,}\w/.test(text)) likely(subject, 'traversal.dots', 0.76, text.slice(0, 50))
  else if (/^\/(\w)\1{60,}/.test(text)) likely(subject, 'traversal.letters', 0.76, text.slice(0, 50))
  else if (/^[/\\]\.{2,}\W?\w/.test(text) && subject.kind !== 'path') {
    likely(subject, 'traversal.dots', 0.76, text.slice(0, 50))
  }
  if (/[/\\]?\{file\}$/.test(text) && subject.kind !== 'path') {
    likely(subject, 'traversal.placeholder', 0.76, text.slice(-40))
  }
}

const FILES = anyOf([
  sequence([
    /(?:^|[/\\:])etc[/\\]+/,
    [
      /passwd|shadow|group|hosts|issue|master\.passwd|sudoers|crontab|fstab|ssh|ssl|apache2?|nginx|mysql/,
      /httpd|php|my\.cnf|subuid|services|resolv\.conf|motd|security|init\.d|profile|rc\.|environment|cron/
    ]
  ]),
  sequence([
    /(?:^|[/\\])proc[/\\]/,
    [
      /self|sys[/\\]|version|cpuinfo|cmdline|mounts|net|sched_debug|interrupts|meminfo|\d+|stat|filesystems/,
      /modules|kallsyms|kcore/
    ],
    /\b/
  ]),
  /boot\.ini|win\.ini|system\.ini|php\.ini|httpd\.conf|(?:^|[/\\.])(?:htaccess|htpasswd|htdigest)\b/,
  /[/\\.]ssh[/\\]|id_(?:rsa|dsa|ecdsa|ed25519)\b|authorized_keys|(?:^|[/\\.])web-inf(?:[/\\]|\w*\.xml)/,
  /web\.config\b|global\.asa|wp-config\.(?:php|bak|old|txt)|\.git[/\\](?:config|head|index)/,
  sequence([
    /(?:^|[/\\~])\./,
    [
      /bash_history|bashrc|bash_profile|zsh_history|mysql_history|psql_history|netrc|pgpass|npmrc|pypirc/,
      /my\.cnf|dockercfg|profile/
    ],
    /\b/
  ]),
  /\.(?:aws|docker|kube|gnupg|azure)[/\\]|[/\\]var[/\\](?:log|run|lib|spool|mail)[/\\]/,
  /[/\\]usr[/\\]local[/\\]|[/\\]windows[/\\](?:win\.|repair|debug|panther|system32[/\\](?:config|drivers))/,
  /unattend\.xml|sam(?:\.log)?$|[/\\]repair[/\\]sam/,
  /^[/\\]?(?:dev|sys)[/\\](?:random|urandom|zero|class|block|mem|kernel|devices|fs)/
])

const WEAK_FILES = anyOf([
  /(?:^|[/\\])\.(?:env|history|svn|hg|bzr|idea|vscode)\b|(?:^|\/)errors?\.log$/,
  /\.(?:sql|bak|old|swp)(?:\.(?:zip|gz|tar|bz2))?$|^[/\\]sys[/\\]class/
])

function addFileSigns (subject: Subject): void {
  const match = FILES.exec(subject.flat)
  if (match !== null) {
    const path =
      /^(?:file:)?[\s"']{0,2}(?:[a-z]:)?[/\\.~]|\.\.|\0|%00|bin\/|^(?:cat|type|more|head|tail|less|vi|nano) /
        .test(subject.flat)
    if (subject.kind === 'path') likely(subject, 'lfi.system-file', 0.8, match[0])
    else if (path && subject.flat.length < 300) certainOrLikely(subject, match[0])
    else {
      likely(
        subject,
        'lfi.system-file',
        subject.flat.length < 60 && !/[a-z] [a-z]/.test(subject.flat) ? 0.78 : 0.5,
        match[0]
      )
    }
    return
  }
  const other = WEAK_FILES.exec(subject.flat)
  if (other !== null && subject.kind !== 'agent' && subject.kind !== 'referer' && !subject.document) {
    likely(
      subject,
      'lfi.private-file',
      subject.kind === 'filename' ? 0.4 : subject.kind === 'query' || subject.kind === 'path' ? 0.76 : 0.6,
      other[0]
    )
  }
  if (subject.kind === 'path') addDotSegmentSigns(subject)
}

/**
 * Where programs and settings are installed: forms of administrators ask for such paths, and there is no
 * secret in the name.
 */
const SYSTEM_FOLDER = sequence([
  /^\//,
  [
    /usr\/local(?:\/(?:bin|sbin|lib|share|etc|include|src|opt))?/,
    /etc\/(?:nginx|apache2?|httpd|ssl|php|mysql|cron\.d|init\.d|profile\.d|security|ssh)/,
    /var\/(?:log|run|lib|spool|mail)/
  ],
  /\/?$/
])

/**
 * A whole value that is the path of a system file: nobody sends that by accident; searches for it carry other
 * words.
 */
function certainOrLikely (subject: Subject, match: string): void {
  if (/\s\w+\s/.test(subject.flat)) likely(subject, 'lfi.system-file', 0.6, match)
  else if (SYSTEM_FOLDER.test(subject.flat)) likely(subject, 'lfi.system-folder', 0.6, match)
  else certain(subject, 'lfi.system-file', match)
}

const RESTRICTED_EXTENSION = sequence([
  /\./,
  [
    /db|rdb|mdb|sqlite3?|sql|dump|bak|old|pem|key|pfx|p12|jks|kdbx|ovpn|ini|config|inc|swp|asa|mdf|ldf/,
    /csproj|backup|orig|save/
  ],
  /(?:\.(?:gz|zip|tar|bz2|tgz))?$/
])

/** Hidden files and folders in the request path: only `.well-known` is meant to be asked for. */
function addDotSegmentSigns (subject: Subject): void {
  const match = /\/\.(?!well-known(?:\/|$))[a-z][\w.-]*/.exec(subject.flat)
  if (match !== null) likely(subject, 'lfi.hidden-path', 0.78, match[0])
  if (/^\/@(?:fs|id)\//.test(subject.flat)) likely(subject, 'lfi.dev-server', 0.78, subject.flat.slice(0, 40))
  if (RESTRICTED_EXTENSION.test(subject.flat)) {
    likely(subject, 'lfi.restricted-extension', 0.76, subject.flat.slice(-30))
  }
  if (/~$|\.(?:bak|old|orig|save|swp|swo|tmp|inc)$/.test(subject.flat)) {
    weak(subject, 'lfi.backup-file', 0.35, subject.flat.slice(-30))
  }
}
