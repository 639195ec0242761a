/**
 * Known agents: a versioned data file, and how an agent string is sorted by it. Names are lower case.
 * Sources: the tools' own documentation and defaults; no list of a firewall is copied.
 */
import { BoundedMap } from '../../std/bounded-map.ts'
import { wordSet } from '../../std/words.ts'

export const AGENTS_VERSION = '2026.11.21'

type AgentKind =
  | 'missing'
  | 'attack-tool'
  | 'impossible'
  | 'headless'
  | 'search-bot'
  | 'robot'
  | 'client'
  | 'browser'
  | 'other'

interface AgentClass {
  kind: AgentKind
  /** The name that decided, or an empty text. */
  name: string
}

/** Tools that are made to attack, to find holes or to map what is hidden. One word of the agent equals one of these. */
const ATTACK_TOOLS = wordSet(`
  sqlmap nikto nuclei gobuster feroxbuster dirbuster dirb wfuzz ffuf wpscan joomscan cmsmap droopescan cmseek
  acunetix acunetix-product netsparker invicti appscan appspider webinspect nessus openvas gvm qualysguard
  rapid7 nexpose nmap masscan zmap zgrab zgrab2 zmeu jorgee morfeus havij sqlninja sqlsus jsql ghauri bbqsql
  nosqlmap commix tplmap sstimap tinja xsser xsstrike dalfox xspear arachni wapiti skipfish w3af w3af.org
  grabber grendel-scan webscarab paros burpsuite burpcollaborator zaproxy owasp-zap vega ironwasp vega-scanner
  n-stalker nstalker webshag whatweb whatwaf wafw00f whisker libwhisker fimap lfisuite lfimap kadimus panoptic
  dotdotpwn bfac shortscan wprecon wpprobe webbandit sitelockspider betabot jbrofuzz fuzzer powerfuzzer pangolin
  absinthe bsqlbf mole darkjumper hydra medusa patator brutus ncrack crackmapexec metasploit msfconsole
  cobaltstrike brutespray thc-hydra graphql-cop graphw00f clairvoyance inql batchql crackql graphqlmap l9explore
  l9scan l9tcpid lkxscan leakix tsunamisecurityscanner trufflehog noseyparker gitleaks gitdumper git-dumper
  dvcs-ripper nettacker raccoon sn1per recon-ng subfinder httprobe aquatone gowitness eyewitness hakrawler
  gospider gau waybackurls paramspider arjun x8 kiterunner katana jaeles xray osmedeus striker photon dirsearch
  dirmap rustbuster sysscan securityagent netlab360 hexometer yeswehack-hunter detectify fhscan hscan pwnscan
  vulnscan webcruiser safe3 zeus scanbot-x slowloris slowhttptest goldeneye hulk torshammer loic hoic xerxes
  wreckuests
`)

/**
 * Names that are also ordinary words or products: only as the agent's first word, or alone in brackets, or
 * with a version.
 */
const SHARED_NAMES = new Set([
  'vega',
  'hydra',
  'panoptic',
  'detectify',
  'medusa',
  'mole',
  'brutus',
  'zeus',
  'photon',
  'striker',
  'raccoon',
  'xray',
  'katana',
  'grabber',
  'hulk',
  'fuzzer',
  'absinthe',
  'gau',
  'hexometer',
  'x8',
  'securityagent',
  'rapid7'
])

/** Longer marks, looked for anywhere. */
const ATTACK_MARKS = [
  'projectdiscovery',
  'nmap scripting engine',
  'fuzz faster',
  'evasions:none',
  'security-scan',
  'security scan',
  'securityscan',
  'vulnerability scan',
  'vulnerability-scan',
  'vulnscan',
  'pentest',
  'sqlinject',
  'exploit',
  'webshell',
  '() {',
  '${jndi',
  'masscan',
  'owasp_zap',
  'w3af',
  'nessus',
  'sqlmap',
  'acunetix'
]

const HEADLESS_MARKS = [
  'headlesschrome',
  'headless chrome',
  'phantomjs',
  'slimerjs',
  'puppeteer',
  'playwright',
  'selenium',
  'webdriver',
  'zombie.js',
  'htmlunit',
  'splash/'
]

const ROBOT_MARKS = [
  'bot',
  'crawl',
  'spider',
  'slurp',
  'fetcher',
  'monitor',
  'uptime',
  'check',
  'probe',
  'preview',
  'archiver',
  'feed',
  'rss',
  '+http',
  'validator',
  'lighthouse',
  'pingdom',
  'synthetic',
  'prometheus',
  'zabbix',
  'facebookexternalhit',
  'mediapartners-google',
  'pagespeed',
  'whatsapp',
  'hookshot'
]

/**
 * Search engines by name. Their identity is not verified here (that needs DNS); they get patience for a polite
 * crawl, not trust.
 */
const SEARCH_MARKS = [
  'googlebot',
  'bingbot',
  'yandexbot',
  'baiduspider',
  'duckduckbot',
  'applebot',
  'slurp',
  'petalbot',
  'sogou',
  'seznambot',
  'qwant',
  'mojeekbot',
  'google-inspectiontool',
  'yeti/',
  'exabot',
  'archive.org_bot',
  'ccbot'
]

const CLIENT_NAMES = wordSet(`
  curl wget python-requests python-urllib python-httpx python aiohttp httpx httpie okhttp go-http-client java
  apache-httpclient jakarta axios node node-fetch undici got superagent postmanruntime insomnia restsharp dart
  ruby faraday guzzlehttp php symfony libwww-perl lwp graphql-request apollo-client apollo urql relay
  terraform-provider terraform aws-sdk-js boto3 botocore google-api-python-client stripe k6 ktor-client reqwest
  hyper unirest typhoeus excon rest-client winhttp dalvik cfnetwork alamofire expo powershell deno bun
  stripe-node axios-retry grpc-node
`)

const CACHE_MAX = 2048
const AGENT_MAX = 512
/** Sorting costs some microseconds and agents repeat: remembered by text. A flood pushes out what nobody uses. */
const remembered = new BoundedMap<string, AgentClass>(CACHE_MAX)

/** Sorts an agent; the same text always gives the same class. At most AGENT_MAX characters are looked at. */
export function classifyAgent (agent: string | null): AgentClass {
  if (agent === null) return MISSING
  const known = remembered.use(agent)
  if (known !== undefined) return known
  const made = sortAgent(agent.slice(0, AGENT_MAX).toLowerCase().trim())
  if (agent.length <= AGENT_MAX) remembered.set(agent, made)
  return made
}

const MISSING: AgentClass = { kind: 'missing', name: '' }

function sortAgent (agent: string): AgentClass {
  if (agent === '' || agent === '-') return MISSING
  const words = agent.split(/[^a-z0-9._-]+/).filter((word) => word !== '')
  const tool = words.find((word, at) => isAttackWord(word, at, agent, words.length))
  if (tool !== undefined) return { kind: 'attack-tool', name: tool }
  const mark = ATTACK_MARKS.find((one) => agent.includes(one))
  if (mark !== undefined) return { kind: 'attack-tool', name: mark }
  if (isImpossible(agent)) return { kind: 'impossible', name: '' }
  const engine = SEARCH_MARKS.find((one) => agent.includes(one))
  if (engine !== undefined) return { kind: 'search-bot', name: engine }
  if (ROBOT_MARKS.some((one) => agent.includes(one))) return { kind: 'robot', name: words[0] ?? '' }
  const headless = HEADLESS_MARKS.find((one) => agent.includes(one))
  if (headless !== undefined) return { kind: 'headless', name: headless }
  if (CLIENT_NAMES.has(words[0] ?? '')) return { kind: 'client', name: words[0] ?? '' }
  if (agent.startsWith('mozilla/') || agent.startsWith('opera/')) return { kind: 'browser', name: '' }
  return { kind: 'other', name: words[0] ?? '' }
}

function isAttackWord (word: string, at: number, agent: string, count: number): boolean {
  // `v1.2` and the like stay in the word list, `tool-1.0` does not equal a name: cut the version.
  const name = word.split(/[-_.]?v?\d/, 1)[0] as string
  if (!ATTACK_TOOLS.has(word) && !ATTACK_TOOLS.has(name)) return false
  const bare = ATTACK_TOOLS.has(word) ? word : name
  if (!SHARED_NAMES.has(bare)) return true
  return at === 0 || count === 1 || agent.includes(`(${bare})`) || agent.includes(`${bare}/`) ||
    agent.includes(`; ${bare}`) || agent.endsWith(bare)
}

/** Texts that no browser ever sent: a misspelt Mozilla or version, control characters, code. */
function isImpossible (agent: string): boolean {
  if (/^mo[zs][il]{1,5}a\b/.test(agent) && !agent.startsWith('mozilla')) return true
  if (/^mozilla\/\d{1,3}\.(?:\D|\d\d)/.test(agent) && !/^mozilla\/\d\.\d\d?(?:[^\w]|$)/.test(agent)) return true
  return /[\x00-\x1f\x7f]/.test(agent) || /<script|\$\{|\bunion\b.{1,20}\bselect\b/.test(agent)
}
