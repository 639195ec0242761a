import t from 'tap'
import { excerptOf } from '../../src/detect/payload/findings.ts'
import { classifyAgent } from '../../src/detect/signs/agents.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { emptyHistory } from '../../src/detect/history-shapes.ts'
import { matchScannerPath } from '../../src/detect/signs/scanner-paths.ts'
import { measureBehavior } from '../../src/detect/factors/behavior.ts'
import { measureEndpoint } from '../../src/detect/factors/endpoint.ts'
import { measureFrequency } from '../../src/detect/factors/frequency.ts'
import { measureHeaders } from '../../src/detect/factors/headers.ts'
import { measureTiming } from '../../src/detect/factors/timing.ts'
import { measureUserAgent } from '../../src/detect/factors/user-agent.ts'
import { viewRequest } from '../../src/detect/request-view.ts'
import type { HistorySnapshot } from '../../src/detect/history-shapes.ts'
import type { FactorResult, Observation } from '../../src/detect/shapes.ts'

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const CHROME = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36'

function observe (fields: Partial<Observation> = {}): Observation {
  return { id: 'as_test', at: 1, client: 'ip:192.0.2.1', method: 'GET', url: '/', headers: ['Host', 'a.example', 'User-Agent', CHROME, 'Accept-Language', 'en'], body: null, route: null, history: null, ...fields }
}

function did (facts: Partial<HistorySnapshot>): HistorySnapshot {
  return { ...emptyHistory(), ...facts }
}

function rules (result: FactorResult): string[] {
  return result.evidence.map((one) => one.rule)
}

t.test('agents are sorted by what they say of themselves', (t) => {
  const table: Array<[string | null, string]> = [
    [null, 'missing'], ['', 'missing'], ['-', 'missing'],
    ['sqlmap/1.8.2#stable (https://sqlmap.org)', 'attack-tool'], ['Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:Port Check)', 'attack-tool'],
    ['DirBuster-1.0-RC1 (http://www.owasp.org)', 'attack-tool'], ['Mozilla/5.0 (Hydra)', 'attack-tool'], ['feroxbuster/2.10.1', 'attack-tool'], ['Fuzz Faster U Fool v2.1.0', 'attack-tool'],
    ['Nuclei - Open-source project (github.com/projectdiscovery/nuclei)', 'attack-tool'],
    ['Mozlila/5.0 (Linux; Android 7.0)', 'impossible'], ['Mozilla/5.g', 'impossible'],
    ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36', 'headless'],
    ['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'search-bot'], ['Uptime-Kuma/1.23.11', 'robot'], ['Slackbot 1.0 (+https://api.slack.com/robots)', 'robot'],
    ['python-requests/2.32.0', 'client'], ['python-httpx/0.27.0', 'client'], ['okhttp/4.12.0', 'client'], ['Go-http-client/1.1', 'client'], ['curl/8.5.0', 'client'],
    [CHROME, 'browser'], ['Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1; SV1)', 'browser'], ['Opera/9.80 (Windows NT 6.1) Presto/2.12.388', 'browser'],
    ['LumenShop/4.12.1 (com.lumen.shop; build:8812; iOS 18.4.1)', 'other'], ['HydraPlayer/3.1 (Android 14)', 'other']
  ]
  for (const [agent, kind] of table) t.equal(classifyAgent(agent).kind, kind, agent ?? 'none')
  t.end()
})

t.test('an attack tool blocks by itself, odd agents never do', (t) => {
  const value = (agent: string | null): number => measureUserAgent(viewRequest(observe({ headers: agent === null ? [] : ['User-Agent', agent] })), policy).value
  t.ok(value('Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)') >= 0.75)
  t.ok(value(null) > 0 && value(null) < 0.2)
  t.ok(value('Mozilla/5.0 HeadlessChrome/120.0') < 0.4)
  t.equal(value('curl/8.5.0'), 0)
  t.equal(value(CHROME), 0)
  t.end()
})

t.test('scanner paths are known by their structure', (t) => {
  for (const path of ['/.env', '/app/.git/HEAD', '/%2egit/config', '/.aws/credentials', '/wp-login.php', '/phpMyAdmin/index.php', '/actuator/heapdump', '/backup.sql', '/site/config.php.bak', '/index.php~', '/cgi-bin/test-cgi', '/WEB-INF/web.xml', '/uploads/c99.php', '/id_rsa', '/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php', '/zebra.conf', '/manager/html']) {
    t.ok((matchScannerPath(path)?.value ?? 0) >= 0.75, path)
  }
  for (const path of ['/', '/graphql', '/robots.txt', '/.well-known/security.txt', '/blog/env-files-explained', '/products/42', '/files/fex-20070729.tar.gz', '/docs/config', '/scripts/backup/', '/health', '/assets/app.min.js', '/actuator/health', '/wp-content/themes/x/style.css', '/sdk/urs.js', '/a%zz']) {
    t.ok((matchScannerPath(path)?.value ?? 0) < 0.4, path)
  }
  t.end()
})

t.test('a scanner path that is a route of ours says nothing', (t) => {
  const measure = (route: string | null): number => { const one = observe({ url: '/server-status', route }); return measureEndpoint(one, viewRequest(one), policy).value }
  t.ok(measure(null) >= 0.75)
  t.equal(measure('/server-status'), 0)
  t.end()
})

t.test('methods out of place and targets that are encoded to slip past', (t) => {
  const measure = (fields: Partial<Observation>): FactorResult => { const one = observe(fields); return measureEndpoint(one, viewRequest(one), policy) }
  t.same(rules(measure({ method: 'TRACE' })), ['endpoint.method'])
  t.same(rules(measure({ method: 'QWERTY' })), ['endpoint.method'])
  t.ok(rules(measure({ url: '/a/%c0%ae%c0%ae/b' })).includes('endpoint.overlong'))
  t.same(rules(measure({ url: '/search?q=100%25&name=J%C3%BCrgen' })), [])
  t.end()
})

t.test('a session id from another site is fixation, from our own page it is a habit', (t) => {
  const measure = (url: string, referer: string): number => { const one = observe({ url, headers: ['Host', 'shop.example', 'Referer', referer] }); return measureEndpoint(one, viewRequest(one), policy).value }
  t.ok(measure('/login?PHPSESSID=abc', 'https://other.example.org/') >= 0.75)
  t.ok(measure('/login?jsessionid=abc', 'https://www.shop.example/') < 0.2)
  t.equal(measure('/search?q=session', 'https://other.example.org/'), 0)
  t.end()
})

t.test('framing that two readers may read differently is strong', (t) => {
  const measure = (headers: string[]): FactorResult => measureHeaders(viewRequest(observe({ headers: ['Host', 'a.example', ...headers] })), policy)
  for (const headers of [['Content-Length', '5', 'Transfer-Encoding', 'chunked'], ['Transfer-Encoding', 'xchunked'], ['Content-Length', '+2'], ['Content-Length', '5', 'Content-Length', '6'], ['Host', 'b.example'], ['Proxy', 'http://p.example'], ['X-A', 'b\r\nC: d'], ['Content-Type', 'text/plain; charset=utf-8; charset=utf-7']]) {
    t.ok(measure(headers).value >= 0.75, JSON.stringify(headers))
  }
  t.equal(measure(['Content-Length', '5', 'Content-Type', 'application/json; charset=UTF-8', 'Range', 'bytes=0-99']).value, 0)
  t.end()
})

t.test('heads of multipart parts that parsers read differently, and file names that people give', (t) => {
  const measure = (head: string): number => {
    const body = Buffer.from(`--b\r\n${head}\r\n\r\nx\r\n--b--\r\n`)
    return measureHeaders(viewRequest(observe({ method: 'POST', headers: ['Host', 'a', 'Content-Type', 'multipart/form-data; boundary=b'], body })), policy, body).value
  }
  t.ok(measure('Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=utf-7') >= 0.75)
  t.ok(measure('Content-Disposition: form-data; name="fi;le"; filename="x"') >= 0.75)
  t.equal(measure('Content-Disposition: form-data; name="user[cv]"; filename="O\'Brien; final.pdf"\r\nContent-Type: application/pdf'), 0)
  t.end()
})

t.test('contradictions of a claimed browser stay weak however many there are', (t) => {
  const spoofed = measureHeaders(viewRequest(observe({ headers: ['Host', 'a', 'User-Agent', CHROME, 'sec-ch-ua', '"Chromium";v="99"', 'sec-ch-ua-platform', '"macOS"'] })), policy)
  t.ok(spoofed.value > 0.2 && spoofed.value < 0.4)
  const real = measureHeaders(viewRequest(observe({ headers: ['Host', 'a', 'sec-ch-ua', '"Chromium";v="147"', 'sec-ch-ua-platform', '"Windows"', 'User-Agent', CHROME, 'Accept-Language', 'en', 'Accept-Encoding', 'gzip'] })), policy)
  t.equal(real.value, 0)
  t.end()
})

t.test('frequency hears the limiter and the client\'s own past, and never challenges alone', (t) => {
  t.equal(measureFrequency(observe({ history: did({ requests60s: 20 }) }), policy).value, 0)
  const most = measureFrequency(observe({ history: did({ limitUsed: 1, requests10s: 500, requests60s: 3000, habitPerMinute: 5 }) }), policy)
  t.ok(most.value > 0.3 && most.value < 0.4)
  t.ok(rules(most).includes('frequency.growth'))
  t.end()
})

t.test('rhythm: a timer that asks for ever new things is heard, a wall display hardly', (t) => {
  const timer = { intervals: 40, intervalMeanMs: 1000, intervalDeviationMs: 5, streakRequests: 40, streakSeconds: 40, requests3600s: 40, requests600s: 40, requests60s: 40 }
  const measure = (facts: Partial<HistorySnapshot>, fields: Partial<Observation> = {}): number => { const one = observe({ headers: ['User-Agent', 'curl/8.0'], ...fields, history: did(facts) }); return measureTiming(one, viewRequest(one), policy).value }
  t.ok(measure({ ...timer, distinctTargets3600s: 40 }) > 0.2)
  t.ok(measure({ ...timer, distinctTargets3600s: 2 }) < 0.1)
  for (const client of ['key:k1', 'user:u1']) t.equal(measure({ ...timer, distinctTargets3600s: 40 }, { client }), 0)
  t.equal(measure({ ...timer, intervalMeanMs: 4000, intervalDeviationMs: 3000, distinctTargets3600s: 10, streakRequests: 3 }), 0)
  t.end()
})

t.test('behaviour: hostile habits are named, ordinary ones are not', (t) => {
  const measure = (facts: Partial<HistorySnapshot>, fields: Partial<Observation> = {}): FactorResult => { const one = observe({ ...fields, history: did(facts) }); return measureBehavior(one, viewRequest(one), policy) }
  const table: Array<[string, Partial<HistorySnapshot>]> = [
    ['behavior.stuffing', { failedLogins600s: 9, failedLogins3600s: 9, loginAttempts600s: 9, intervalMeanMs: 600, requests3600s: 9 }],
    ['behavior.guessing', { badTokens600s: 8, badTokens3600s: 8, distinctCredentials3600s: 8, requests3600s: 8 }],
    ['behavior.shared-fingerprint', { loginAttempt: 1, loginAttempts600s: 1, requests3600s: 1, fingerprintRequests600s: 20, fingerprintLoginAttempts600s: 20, fingerprintFailedLogins600s: 19, fingerprintFailingAddresses600s: 12 }],
    ['behavior.sweep', { requests600s: 60, requests3600s: 60, variations600s: 58, distinctTargets3600s: 59, streakRequests: 60, intervalMeanMs: 500, distinctShapes3600s: 1 }],
    ['behavior.enumeration', { requests600s: 34, requests3600s: 34, sequentialRun: 33, variations600s: 33, distinctTargets3600s: 34, intervalMeanMs: 300 }],
    ['behavior.scan', { requests600s: 25, requests3600s: 25, notFound600s: 24, notFound3600s: 24, guesses3600s: 25, distinctShapes3600s: 20, distinctTargets3600s: 22 }],
    ['behavior.rotation', { requests600s: 25, requests3600s: 25, distinctAgents3600s: 22, agentChanges3600s: 24, distinctTargets3600s: 24, distinctShapes3600s: 1, distinctHeaderSets3600s: 1 }],
    ['behavior.probes', { probes3600s: 7, requests3600s: 8 }]
  ]
  for (const [rule, facts] of table) {
    const result = measure(facts)
    t.equal(result.evidence[0]?.rule, rule)
    t.ok(result.value >= 0.4, `${rule} ${result.value}`)
  }
  t.ok(measure({ failedLogins600s: 3, failedLogins3600s: 3, requests3600s: 10, intervalMeanMs: 4000 }).value < 0.1, 'a person who mistypes')
  const sweeping = { requests600s: 60, requests3600s: 60, variations600s: 58, distinctTargets3600s: 59, streakRequests: 60, intervalMeanMs: 500, sequentialRun: 58 }
  for (const client of ['key:k1', 'user:u1']) t.equal(measure(sweeping, { client }).value, 0, 'a sync job with a credential')
  t.ok(measure({ fingerprintRequests600s: 900, fingerprintLoginAttempts600s: 20, fingerprintFailedLogins600s: 6, fingerprintFailingAddresses600s: 6, loginAttempt: 1, requests3600s: 1 }).value < 0.1, 'people with one browser who mistype')
  t.ok(measure({ requests600s: 50, requests3600s: 50, notFound600s: 50, notFound3600s: 50, strays600s: 48, guesses3600s: 2, variations600s: 30, distinctShapes3600s: 40, distinctTargets3600s: 50 }).value < 0.2, 'a page that lost its files')
  t.ok(measure({ requests600s: 50, requests3600s: 50, notFound600s: 30, notFound3600s: 30, guesses3600s: 30, distinctShapes3600s: 30, distinctAgents3600s: 20, agentChanges3600s: 45, distinctHeaderSets3600s: 18 }).value < 0.4, 'many visitors behind one address who follow old links')
  t.ok(measure({ badTokens600s: 30, badTokens3600s: 30, distinctCredentials3600s: 26, requests600s: 50, requests3600s: 50, distinctAgents3600s: 7, distinctShapes3600s: 14, distinctTargets3600s: 50, distinctHeaderSets3600s: 6 }).value < 0.3, 'an office whose tokens all ended')
  t.ok(measure({ probes3600s: 6, requests3600s: 40 }).value < 0.1, 'some odd requests among many')
  t.ok(measure({ distinctAddresses3600s: 12, distinctAgents3600s: 7, requests3600s: 40 }, { client: 'user:u1' }).value > 0.25, 'one user from everywhere')
  t.end()
})

t.test('what matched is shown with whole words, and with an ellipsis where something was left out', (t) => {
  const excerpt = (text: string, match: string): string => excerptOf({ text, flat: text.toLowerCase() }, match)
  const union = "x' union select username,pass FROM users--"
  t.equal(excerpt(union, union.slice(-20)), '…username,pass FROM users--')
  t.equal(excerpt(union, 'union select'), 'union select')
  t.equal(excerpt(union + ' and so on', union.slice(0, 40)), "x' union select username,pass FROM users…")
  t.equal(excerpt('; DROP TABLE users', '; drop table'), '; drop table', 'found in the folded reading')
  t.equal(excerpt('a'.repeat(100), 'a'.repeat(30)), 'a'.repeat(30) + '…')
  t.equal(excerpt('short', 'not in it'), 'not in it')
  t.end()
})
