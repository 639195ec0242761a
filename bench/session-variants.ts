/**
 * Other people's scripts: the same intents as in session-kinds.ts with other paces, headers, routes and lengths, so that no
 * threshold holds for one script only. `bench/sessions.ts --variants` plays them in real time, a test in simulated time.
 */
import { browse, browserHeaders, get, graphql, harvest, login, newAddress, toolHeaders, WORDS } from './session-scripts.ts'
import type { MakeSession } from './session-kinds.ts'
import type { Dice, Session, Step, Who } from './session-scripts.ts'

function session (kind: string, hostile: boolean, steps: Step[]): Session {
  return { kind, hostile, steps: steps.sort((a, b) => a.atMs - b.atMs) }
}

function paced (count: number, pauseMs: () => number, make: (atMs: number, index: number) => Step): Step[] {
  let atMs = 0
  return Array.from({ length: count }, (_, i) => {
    const step = make(atMs, i)
    atMs += pauseMs()
    return step
  })
}

const anyHeaders = (dice: Dice): string[] => dice.chance(0.5) ? toolHeaders(dice) : browserHeaders(dice)

/** One attempt per address and half a minute, over many addresses with the same tool. */
function stuffingSlowWide (dice: Dice): Session {
  const headers = anyHeaders(dice)
  const addresses = Array.from({ length: dice.whole(12, 30) }, newAddress)
  return session('v-stuffing-slow-wide', true, paced(dice.whole(40, 60), () => dice.between(1200, 3000), (at, i) => login({ headers, address: addresses[i % addresses.length] as string }, at, dice, 'failed-login')))
}

function stuffingTyped (dice: Dice): Session {
  const who = { headers: browserHeaders(dice), address: newAddress() }
  return session('v-stuffing-slow-one', true, paced(dice.whole(16, 25), () => dice.between(3000, 6000), (at) => login(who, at, dice, 'failed-login')))
}

function scraperSlow (dice: Dice): Session {
  const who = { headers: anyHeaders(dice), address: newAddress() }
  const style = dice.pick([0, 1, 3])
  return session('v-scraper-2-5-s', true, paced(dice.whole(55, 75), () => dice.between(2000, 5000), (at, i) => harvest(who, at, dice, i, style)))
}

/** Bursts of ten, then a pause. */
function scraperBursts (dice: Dice): Session {
  const who = { headers: anyHeaders(dice), address: newAddress() }
  const style = dice.whole(0, 3)
  let i = 0
  return session('v-scraper-bursts', true, paced(dice.whole(60, 90), () => ++i % 10 === 0 ? dice.between(4000, 9000) : dice.between(80, 300), (at, index) => harvest(who, at, dice, index, style)))
}

function enumerationByVariable (dice: Dice): Session {
  const who = { headers: anyHeaders(dice), address: newAddress() }
  const start = dice.whole(1, 50_000)
  const step = dice.whole(1, 3)
  const pause = dice.between(300, 2500)
  return session('v-id-enumeration', true, paced(dice.whole(35, 60), () => pause * dice.between(0.5, 1.5), (at, i) => graphql(who, at, 'query Actor($id: ID!) { threatActor(id: $id) { id name aliases } }', { id: `ta_${start + i * step}` })))
}

const REAL_AGENTS = [124, 125, 126, 127, 128, 129, 130, 131].flatMap((v) => ['Windows NT 10.0; Win64; x64', 'Macintosh; Intel Mac OS X 10_15_7', 'X11; Linux x86_64'].map((os) => `Mozilla/5.0 (${os}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${v}.0.0.0 Safari/537.36`))

function rotationReal (dice: Dice): Session {
  const address = newAddress()
  const style = dice.whole(0, 3)
  return session('v-agent-rotation', true, paced(dice.whole(30, 60), () => dice.between(300, 2500), (at, i) => harvest({ headers: ['User-Agent', dice.pick(REAL_AGENTS), 'Accept', 'application/json', 'Accept-Language', 'en-US,en;q=0.9', 'Accept-Encoding', 'gzip, deflate, br'], address }, at, dice, i, style)))
}

const base64url = (text: string): string => Buffer.from(text).toString('base64url')

/** Tokens that look like ours, with another signature each. */
function tokensLikeJwt (dice: Dice): Session {
  const headers = anyHeaders(dice)
  const address = newAddress()
  return session('v-token-guessing', true, paced(dice.whole(15, 35), () => dice.between(200, 3000), (at) => {
    const token = `${base64url('{"alg":"HS256","typ":"JWT"}')}.${base64url(JSON.stringify({ sub: `us_${dice.whole(1, 1e6)}`, exp: 1_900_000_000 }))}.${base64url(String(dice.whole(1e12, 9e12)).repeat(3)).slice(0, 43)}`
    const question = dice.chance(0.7) ? '{ me { username role } }' : '{ threatCounts { category count } }'
    return graphql({ headers: [...headers, 'Authorization', `Bearer ${token}`], address }, at, question, null, 'bad-token')
  }))
}

const SECRETS = ['/.env', '/.env.bak', '/.git/config', '/wp-admin/setup-config.php', '/phpmyadmin/index.php', '/backup.zip', '/dump.sql', '/server-status', '/.aws/credentials', '/config.yml', '/actuator/env', '/.svn/entries', '/admin.php', '/xmlrpc.php', '/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php']

function slowerProbes (dice: Dice): Session {
  const who = { headers: anyHeaders(dice), address: newAddress() }
  return session('v-slow-probes', true, paced(dice.whole(8, 12), () => dice.between(15_000, 30_000), (at) => get(who, at, dice.pick(SECRETS), 'not-found')))
}

/** A word list with a browser's headers. */
function scannerAsBrowser (dice: Dice): Session {
  const who = { headers: browserHeaders(dice), address: newAddress() }
  const parts = ['users', 'orders', 'login', 'admin', 'portal', 'legacy', 'v3', 'private', 'hidden', 'export', 'reports', 'billing', 'ops', 'tools', 'jobs', 'queue', 'stats', 'panel', 'root', 'cms', 'shop', 'files', 'media', 'import', 'sync', 'hooks', 'oauth2', 'sso', 'beta', 'demo', 'sandbox', 'qa', 'uat', 'archive', 'temp', 'cache', 'store', 'app', 'web', 'mail']
  return session('v-route-scanner', true, paced(dice.whole(30, 60), () => dice.between(100, 1800), (at) => get(who, at, '/' + dice.pick(parts) + (dice.chance(0.4) ? '/' + dice.pick(parts) : ''), 'not-found')))
}

/** Forty people, one address, one language: each looks a few things up, some mistype, some follow an old link. */
function bigOffice (dice: Dice): Session {
  const address = newAddress()
  const steps: Step[] = []
  for (let person = 0; person < 40; person++) {
    const who: Who = { headers: browserHeaders(dice).map((text) => /;q=0\.9/.test(text) ? 'de-DE,de;q=0.9' : text), address }
    let at = dice.between(0, 60_000)
    if (dice.chance(0.08)) steps.push(login(who, at, dice, 'failed-login'), login(who, at + 5000, dice, 'ok'))
    for (let i = dice.whole(3, 9); i > 0; i--) {
      steps.push(dice.chance(0.04) ? get({ ...who, headers: [...who.headers, 'Referer', 'https://intranet.example/links'] }, at, `/handbook/${dice.pick(WORDS)}`, 'not-found') : browse(who, at, dice))
      at += dice.between(300, 15_000)
    }
  }
  return session('v-office-40', false, steps)
}

function steadyPoller (dice: Dice): Session {
  const who = { headers: anyHeaders(dice), address: newAddress() }
  const everyMs = dice.pick([1000, 5000])
  return session('v-poller', false, paced(dice.whole(40, 70), () => everyMs, (at) => graphql(who, at, '{ stats(windowSeconds: 60) { requests scoreP95 } threatCounts { category count } }')))
}

/** An access token of a few minutes: a 401, a refresh, the same request again. */
function mobileRefresh (dice: Dice): Session {
  const headers = ['User-Agent', `PandaMobile/3.${dice.whole(0, 9)}.1 (iOS 18.${dice.whole(0, 4)}; iPhone15,2)`, 'Accept', 'application/json', 'Accept-Encoding', 'gzip', 'Accept-Language', 'en-GB']
  const address = newAddress()
  const steps: Step[] = []
  let at = 0
  for (let i = 0; i < 20; i++) {
    const step = browse({ headers, address, as: 'user' }, at, dice)
    if (i % 5 === 4) steps.push({ ...step, as: 'nobody', headers: [...step.headers, 'Authorization', `Bearer ended.${i}.token`], answer: 'bad-token' })
    for (let j = dice.chance(0.25) ? 3 : 1; j > 0; j--) steps.push({ ...step, atMs: at += dice.between(150, 1200) })
    at += dice.between(500, 4000)
  }
  return session('v-mobile-refresh', false, steps)
}

function bulkIntegration (dice: Dice): Session {
  const who: Who = { headers: toolHeaders(dice), address: newAddress(), as: 'key' }
  const style = dice.whole(0, 2)
  const pause = dice.between(60, 900)
  return session('v-integration-bulk', false, paced(90, () => pause, (at, i) => style === 2
    ? graphql(who, at, 'query ($id: ID!) { threatActor(id: $id) { name } }', { id: `ta_${1000 + i}` })
    : harvest(who, at, dice, i, style)))
}

function clumsyExplorer (dice: Dice): Session {
  const who = { headers: anyHeaders(dice), address: newAddress() }
  return session('v-explorer-404', false, paced(dice.whole(20, 35), () => dice.between(1200, 9000), (at) => {
    const roll = dice.next()
    if (roll < 0.2) return get(who, at, dice.pick(['/docs', '/api', '/v1', '/openapi.json', '/swagger', '/playground', '/help']), 'not-found')
    if (roll < 0.45) return graphql(who, at, `{ ${dice.pick(['actors', 'threat', 'stats', 'users'])} { ${dice.pick(['id', 'nme', 'total'])} } }`, null, 'client-error')
    return browse(who, at, dice)
  }))
}

function crawler (dice: Dice): Session {
  const agent = dice.pick(['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)', 'DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)', 'Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)', 'Applebot/0.1 (+http://www.apple.com/go/applebot)'])
  const who = { headers: ['User-Agent', agent, 'Accept', '*/*', 'Accept-Encoding', 'gzip, deflate'], address: newAddress() }
  return session('v-search-bot', false, paced(dice.whole(25, 45), () => dice.between(900, 4000), (at, i) => get(who, at, i === 0 ? '/robots.txt' : `/${dice.pick(['actors', 'news', 'blog', 'docs', 'en', 'de'])}/${dice.pick(WORDS)}-${dice.pick(WORDS)}`, 'not-found')))
}

function uptime (dice: Dice): Session {
  const agent = dice.pick(['Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)', 'StatusCake', 'curl/8.5.0', 'GoogleStackdriverMonitoring-UptimeChecks(https://cloud.google.com/monitoring)', 'check_http/v2.3.3 (nagios-plugins 2.3.3)', 'Site24x7'])
  const who = { headers: ['User-Agent', agent, 'Accept', '*/*'], address: newAddress() }
  const url = dice.pick(['/', '/health', '/ping', '/graphql?query=%7B__typename%7D'])
  const everyMs = dice.pick([1000, 3000, 5000])
  return session('v-uptime', false, paced(dice.whole(20, 60), () => everyMs, (at) => get(who, at, url, url.startsWith('/g') ? 'ok' : 'not-found')))
}

/** An old front end whose files are gone: every page view asks for forty of them. */
function lostFiles (dice: Dice): Session {
  const who = { headers: [...browserHeaders(dice), 'Referer', 'https://shop.example/'], address: newAddress() }
  const names = Array.from({ length: 40 }, () => `/static/${dice.pick(WORDS)}-${dice.whole(100, 999)}.${dice.pick(['js', 'css', 'png', 'woff2'])}`)
  return session('v-lost-files', false, [0, 8000, 20_000].flatMap((start) => names.map((name, i) => get(who, start + i * 12, name, 'not-found'))))
}

export const HOSTILE_VARIANTS: MakeSession[] = [stuffingSlowWide, stuffingTyped, scraperSlow, scraperBursts, enumerationByVariable, rotationReal, tokensLikeJwt, slowerProbes, scannerAsBrowser]
export const BENIGN_VARIANTS: MakeSession[] = [bigOffice, steadyPoller, mobileRefresh, bulkIntegration, clumsyExplorer, crawler, uptime, lostFiles]
