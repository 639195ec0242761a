/**
 * Paths that scanners ask for, by structure: files that hold secrets or source, leftovers of editors and backups,
 * consoles of products, drop names of web shells. A versioned data file with one lookup; sources: the products' own
 * default paths. The value says what such a path is worth alone on a route that does not exist.
 */
import { sequence } from '../../std/regex.ts'
import { wordSet, words } from '../../std/words.ts'

interface ScannerPath {
  value: number
  rule: string
  text: string
}

const CERTAIN = 0.8
const LIKELY = 0.5
const WEAK = 0.22

/** Dot segments that a web application does serve. */
const PUBLIC_DOT = new Set(['.well-known', '.auth', '.netlify', '.proxy', '.vite', '.', '..'])

/** Extensions whose file is never meant to be served, wherever it stands. */
const SECRET_EXTENSIONS = wordSet(`
  sql bak old orig save swp swo mdb kdbx pem key ppk pfx p12 jks pgp skr pkr gpg sqlite sqlite3 dbf dmp dump
  tfstate tfvars env rdp ovpn htpasswd htaccess inc php~ bkp backup php2 php3~ passwd shadow ora ldf mdf
`)
/** Extensions that mean the same at the root, where a scanner guesses; deeper they may be documents. */
const ROOT_EXTENSIONS = wordSet(`
  sh ini conf cfg config log dat tpl db bat ps1 cnf properties toml yml yaml tar tgz gz zip rar 7z war jar cgi
  pl
`)
const ARCHIVES = wordSet('tar tgz gz zip rar 7z')
const PUBLIC_FILES = wordSet(`
  robots.txt humans.txt ads.txt security.txt sitemap.xml sitemap.xml.gz manifest.json openapi.yml openapi.yaml
  swagger.yml swagger.yaml favicon.ico browserconfig.xml
`)

/** First segment alone, whatever follows. */
const FIRST_SEGMENTS = new Map<string, number>(
  words(`
    phpmyadmin pma myadmin phpmyadmin2 mysqladmin dbadmin adminer sqlmanager web-inf meta-inf jmx-console
    web-console invoker hnap1 boaform gponform _ignition _profiler telescope jsp-examples servlets-examples
    tomcat-docs tomcat-examples servlet dana-na +cscoe+ owa ecp autodiscover eval-stdin.php nacos geoserver
    hudson solr druid zabbix phpunit struts struts2-showcase evox webui xampp wampp cgi-sys cgi-mod scgi-bin
    fcgi-bin
  `).map((name) => [name, CERTAIN])
)
for (const name of ['owa', 'ecp', 'autodiscover', 'servlet', 'druid', 'solr', 'zabbix']) FIRST_SEGMENTS.set(name, 0.76)

/** First two segments. */
const PAIRS = wordSet(`
  manager/html manager/deploy manager/status manager/text host-manager/html administrator/index.php
  admin/config.php wp-admin/install.php wp-admin/setup-config.php jenkins/script jenkins/login actuator/env
  actuator/heapdump actuator/threaddump actuator/beans actuator/mappings actuator/configprops actuator/gateway
  actuator/jolokia actuator/trace actuator/httptrace debug/default debug/pprof debug/vars examples/servlet
  examples/servlets examples/jsp shared/lib vendor/phpunit console/login.do remote/login remote/fgt_lang
  cgi-bin/test-cgi cgi-bin/printenv cgi-bin/luci cgi-bin/bash cgi-bin/sh cgi-bin/php cgi-bin/.%2e cgi-bin/status
  cgi-bin/admin.cgi cgi-bin/mainfunction.cgi api/jsonws containers/json v1.24/containers webdav/servlet
  conf/server.xml winnt/system32 windows/win.ini etc/passwd proc/self system32/cmd.exe _vti_bin/_vti_aut
  _vti_bin/shtml.dll solr/admin jolokia/list script/console setup/setup-s crowd/plugins wsman/identify mgmt/tm
  tmui/login.jsp
`)

const PAIR_STARTS = new Set([...PAIRS].map((pair) => pair.split('/', 1)[0] as string))

/** The last segment. */
const FILES = new Map<string, number>([
  ...words(`
    wp-login.php xmlrpc.php wp-config.php wp-config-sample.php setup-config.php eval-stdin.php phpinfo.php
    info.php~ web.config server-status server-info admin.php adminer.php configuration.php~ localsettings.php
    local.xml phpmyadmin.php pma.php dump.php backup.php install.php~ upgrade.php~ shell.php cmd.php c99.php
    r57.php b374k.php wso.php alfa.php webshell.php cmd.jsp shell.jsp cmd.aspx shell.aspx shell.asp up.php
    uploader.php fm.php mini.php id_rsa id_dsa id_ed25519 authorized_keys known_hosts credentials.json
    secrets.json secrets.yml database.yml docker-compose.yml dockerfile .env web.xml htpasswd passwd shadow
    win.ini boot.ini unattend.txt unattend.xml sysprep.inf sftp-config.json deployment-config.json
    composer.lock~ wlwmanifest.xml test-cgi printenv dbdump ccbill.log error_log access_log debug.log
    laravel.log
  `).map((
    name
  ): [string, number] => [name, CERTAIN]),
  ...words(`
    install.php setup.php upgrade.php info.php test.php config.php composer.json composer.lock package-lock.json
    phpversion.php admin.asp admin.aspx login.action
  `).map((name): [string, number] => [name, 0.3])
])

/** Words that are guessed at the root and mean little alone. */
const GUESSES = wordSet(`
  admin administrator manager console mysql conf config backup backups include includes webdav old tmp temp test
  private secret hidden db database dump upload uploads user_upload smarty shared examples cgi-bin debug
`)

/** Folders that hold what a server runs or reads, and that no page links to. */
const CODE_FOLDERS = wordSet(`
  include includes inc conf smarty mysql webdav user_upload htdocs cgi-bin cgi-local _vti_bin sqladmin backups
  dbbackup adodb
`)

const SECRET_NAME = sequence([
  /(^|[^a-z])/,
  /(passwd|passwords?|htpasswd|shadow|secring|id_rsa|credentials?|unattend|dbdump|db_backup|webr00t|r00t)/,
  /([^a-z]|$)/
])
/** Read backwards from the extension, so that a name which repeats the word is read once. */
const SHELL_NAME = /\.(?:php\d?|phtml|jspx?|aspx?|cgi|pl)$(?<=(?:shell|c99|r57|b374k|wso|r00t|backdoor|cmd)[\w.-]*)/
const JAVA_CLASS = /(^|\/)org\.apache\.|\/servlets?\.[A-Z]/i
const PATH_MAX = 512

/**
 * The sign that the path is, or null. `path` as on the wire, without the query; at most PATH_MAX characters are
 * read. Linear.
 */
export function matchScannerPath (path: string): ScannerPath | null {
  const plain = plainPath(path)
  const segments = plain.split('/').filter((segment) => segment !== '')
  if (segments.length === 0) return null
  const dot = segments.find((segment) => segment.charCodeAt(0) === 46 && !PUBLIC_DOT.has(segment))
  if (dot !== undefined) return found(CERTAIN, 'endpoint.hidden-file', `a hidden file or folder: ${dot}`)
  return matchNames(plain, segments) ?? matchFile(segments, plain.endsWith('/'))
}

function found (value: number, rule: string, text: string): ScannerPath {
  return { value, rule, text: text.slice(0, 80) }
}

/** Lower case, percent-decoded once, bounded; text that does not decode is taken as it is. */
function plainPath (path: string): string {
  const cut = path.length > PATH_MAX ? path.slice(0, PATH_MAX) : path
  if (!cut.includes('%')) return cut.toLowerCase()
  try {
    return decodeURIComponent(cut).toLowerCase()
  } catch {
    return cut.toLowerCase()
  }
}

function matchNames (plain: string, segments: string[]): ScannerPath | null {
  const first = segments[0] as string
  const value = FIRST_SEGMENTS.get(first)
  if (value !== undefined) return found(value, 'endpoint.scanner-path', `a product's console or internals: /${first}`)
  for (let i = 0; i + 1 < segments.length && i < 6; i++) {
    if (!PAIR_STARTS.has(segments[i] as string)) continue
    const pair = `${segments[i]}/${segments[i + 1]}`
    if (PAIRS.has(pair)) return found(CERTAIN, 'endpoint.scanner-path', `a product's console or internals: ${pair}`)
  }
  if ((plain.includes('org.apache') || plain.includes('servlet')) && JAVA_CLASS.test(plain)) {
    return found(CERTAIN, 'endpoint.scanner-path', 'a class of a servlet container')
  }
  if (segments.includes('web-inf') || segments.includes('meta-inf')) {
    return found(CERTAIN, 'endpoint.scanner-path', 'the inside of a web archive')
  }
  return null
}

function matchFile (segments: string[], isFolder: boolean): ScannerPath | null {
  const file = segments[segments.length - 1] as string
  const isRoot = segments.length === 1
  const value = FILES.get(file)
  if (value !== undefined) return found(value, 'endpoint.scanner-path', `a file that scanners ask for: ${file}`)
  if (PUBLIC_FILES.has(file)) return null
  if (SHELL_NAME.test(file)) return found(CERTAIN, 'endpoint.web-shell', `the name of a web shell: ${file}`)
  if (SECRET_NAME.test(file) && file.includes('.') && !file.endsWith('.html')) {
    return found(CERTAIN, 'endpoint.secret-file', `a file of secrets: ${file}`)
  }
  const byExtension = isFolder ? null : matchExtension(file, isRoot)
  if (byExtension !== null) return byExtension
  if (isRoot && CODE_FOLDERS.has(file)) return found(0.76, 'endpoint.guess', `a folder of code or settings: /${file}`)
  return isRoot && GUESSES.has(file) ? found(WEAK, 'endpoint.guess', `a name that is guessed: /${file}`) : null
}

function matchExtension (file: string, isRoot: boolean): ScannerPath | null {
  if (file.endsWith('~')) return found(CERTAIN, 'endpoint.leftover', `an editor's leftover: ${file}`)
  const parts = file.split('.')
  if (parts.length < 2) return null
  for (const part of parts.slice(1)) {
    if (SECRET_EXTENSIONS.has(part)) {
      return found(0.78, 'endpoint.leftover', `a backup, a dump or a key: ${file}`)
    }
  }
  const last = parts[parts.length - 1] as string
  if (isRoot && ROOT_EXTENSIONS.has(last)) {
    return found(
      ARCHIVES.has(last) && (parts[0] as string).length > 12 ? LIKELY * 0.5 : 0.76,
      'endpoint.root-file',
      `a file that is guessed at the root: ${file}`
    )
  }
  return null
}
