/** The kinds of sessions: ten hostile, ten of ordinary life. Each is made anew from the dice it is given. */
import { browse, browserHeaders, get, graphql, harvest, login, newAddress, toolHeaders, WORDS } from './session-scripts.ts'
import type { Dice, Session, Step, Who } from './session-scripts.ts'

export type MakeSession = (dice: Dice) => Session

function session (kind: string, hostile: boolean, steps: Step[]): Session {
  return { kind, hostile, steps: steps.sort((a, b) => a.atMs - b.atMs) }
}

/** `count` steps, `pauseMs` apart. */
function paced (count: number, pauseMs: (index: number) => number, make: (atMs: number, index: number) => Step): Step[] {
  const steps: Step[] = []
  let atMs = 0
  for (let i = 0; i < count; i++) {
    steps.push(make(atMs, i))
    atMs += pauseMs(i)
  }
  return steps
}

function stuffingOne (dice: Dice): Session {
  const who = { headers: toolHeaders(dice), address: newAddress() }
  const pause = dice.between(150, 1500)
  return session('stuffing-one-address', true, paced(dice.whole(20, 50), () => pause * dice.between(0.6, 1.4), (at) => login(who, at, dice, 'failed-login')))
}

function stuffingMany (dice: Dice): Session {
  const headers = toolHeaders(dice)
  const pause = dice.between(100, 700)
  const addresses = Array.from({ length: dice.whole(15, 40) }, newAddress)
  return session('stuffing-many-addresses', true, paced(dice.whole(40, 80), () => pause * dice.between(0.5, 1.5), (at, i) => login({ headers, address: addresses[i % addresses.length] as string }, at, dice, 'failed-login')))
}

function scraper (kind: string, pauseMs: (dice: Dice) => (index: number) => number): MakeSession {
  return (dice) => {
    const who = { headers: toolHeaders(dice), address: newAddress() }
    const style = dice.whole(0, 3)
    return session(kind, true, paced(dice.whole(50, 90), pauseMs(dice), (at, i) => harvest(who, at, dice, i, style)))
  }
}

const ROUTES = ['admin', 'backup', 'old', 'test', 'dev', 'staging', 'api', 'api/v1', 'api/v2', 'internal', 'console', 'manager', 'server-status', 'login', 'dashboard', 'config', 'db', 'dump', 'uploads', 'files', 'private', 'secret', 'users', 'accounts', 'swagger', 'docs', 'actuator', 'debug', 'status', 'phpinfo.php', 'wp-login.php', '.env', '.git/config', 'robots.txt', 'cgi-bin', 'shell', 'cmd', 'tmp', 'logs', 'data', 'export', 'reports', 'billing', 'invoices', 'graphql/console', 'playground', 'altair', 'voyager']

function routeScanner (dice: Dice): Session {
  const who = { headers: toolHeaders(dice), address: newAddress() }
  const pause = dice.between(40, 1200)
  const plain = dice.chance(0.5) ? ROUTES.filter((route) => !/[.]|status|actuator/.test(route)) : ROUTES
  return session('route-scanner', true, paced(dice.whole(25, 45), () => pause * dice.between(0.7, 1.3), (at) => get(who, at, '/' + dice.pick(plain) + (dice.chance(0.4) ? '/' + dice.pick(plain) : ''), 'not-found')))
}

function enumeration (dice: Dice): Session {
  const who = { headers: toolHeaders(dice), address: newAddress() }
  const pause = dice.between(100, 1500)
  const start = dice.whole(1, 5000)
  const style = dice.whole(0, 3)
  const idOf = (i: number): number => style === 3 ? dice.whole(1, 90000) : start + i
  return session('id-enumeration', true, paced(dice.whole(30, 70), () => pause * dice.between(0.6, 1.4), (at, i) => {
    if (style === 0) return get(who, at, `/api/users/${idOf(i)}`, 'not-found')
    if (style === 1) return graphql(who, at, 'query ($id: ID!) { threatActor(id: $id) { name } }', { id: String(idOf(i)) })
    return graphql(who, at, `{ threatActor(id: "${idOf(i)}") { name description } }`)
  }))
}

function rotation (dice: Dice): Session {
  const address = newAddress()
  const pause = dice.between(200, 2000)
  const pool = Array.from({ length: dice.whole(15, 60) }, () => browserHeaders(dice))
  const skeleton = dice.chance(0.5)
  const style = dice.whole(0, 4)
  return session('agent-rotation', true, paced(dice.whole(40, 70), () => pause * dice.between(0.6, 1.4), (at, i) => {
    const headers = dice.pick(pool)
    const agent = headers[headers.indexOf('User-Agent') + 1] as string
    const who = { headers: skeleton ? ['User-Agent', agent, 'Accept', '*/*', 'Accept-Encoding', 'gzip, deflate'] : headers, address }
    return style === 4 ? browse(who, at, dice) : harvest(who, at, dice, i, style)
  }))
}

function tokenGuessing (dice: Dice): Session {
  const base = toolHeaders(dice)
  const address = newAddress()
  const pause = dice.between(80, 1200)
  const name = dice.pick(['x-api-key', 'authorization'])
  return session('token-guessing', true, paced(dice.whole(15, 40), () => pause * dice.between(0.6, 1.4), (at) => {
    const guess = 'nk_' + dice.whole(1e8, 9e8).toString(36) + dice.whole(1e8, 9e8).toString(36)
    return graphql({ headers: [...base, name, name === 'authorization' ? 'Bearer ' + guess : guess], address }, at, '{ me { username } }', null, 'bad-token')
  }))
}

const PROBES = ['/admin', '/backup', '/.env', '/old/index.php', '/wp-login.php', '/console', '/server-status', '/config.php', '/manager/html', '/api/v1/users?id=1%27', '/search?q=%3Cscript%3Ealert(1)%3C/script%3E', '/download?file=../../etc/passwd', '/test', '/db.sql', '/.git/HEAD', '/phpinfo.php', '/?id=1%20union%20select%201,2', '/cgi-bin/test-cgi']

function slowProbes (dice: Dice): Session {
  const who = { headers: toolHeaders(dice), address: newAddress() }
  return session('slow-probes', true, paced(dice.whole(8, 14), () => dice.between(2500, 6000), (at) => get(who, at, dice.pick(PROBES), 'not-found')))
}

/** Bursts of one to four requests, then a pause to read; often something seen before. */
function visit (who: Who, dice: Dice, bursts: number, startMs: number, pauseMs: () => number): Step[] {
  const steps: Step[] = []
  let at = startMs
  for (let i = 0; i < bursts; i++) {
    for (let j = dice.whole(1, 4); j > 0; j--) {
      steps.push(dice.chance(0.25) && steps.length > 0 ? { ...dice.pick(steps), atMs: at } : browse(who, at, dice))
      at += dice.between(20, 250)
    }
    at += pauseMs()
  }
  return steps
}

const reading = (dice: Dice, scale: number) => () => scale * Math.exp(dice.between(-0.8, 1.6)) * 1000

function person (dice: Dice): Session {
  return session('person', false, visit({ headers: browserHeaders(dice), address: newAddress() }, dice, dice.whole(5, 14), 0, reading(dice, dice.between(0.8, 2.5))))
}

function personMistypes (dice: Dice): Session {
  const who = { headers: browserHeaders(dice), address: newAddress() }
  const user = 'dora' + dice.whole(1, 99)
  const tries = dice.whole(1, 4)
  const steps = paced(tries + 1, () => dice.between(2500, 8000), (at, i) => login(who, at, dice, i < tries ? 'failed-login' : 'ok', user))
  return session('person-mistypes', false, [...steps, ...visit(who, dice, 4, (steps[tries] as Step).atMs + 1500, reading(dice, 1.5))])
}

function poller (dice: Dice): Session {
  const who = { headers: toolHeaders(dice), address: newAddress() }
  const pause = dice.between(700, 5000)
  const since = dice.chance(0.4)
  return session('poller', false, paced(dice.whole(20, 60), () => pause * dice.between(0.97, 1.03), (at) => since
    ? graphql(who, at, 'query ($t: DateTime) { stats(windowSeconds: 60) { requests } health { __typename } }', { t: new Date(1_800_000_000_000 + at).toISOString() })
    : graphql(who, at, '{ stats(windowSeconds: 60) { requests } }')))
}

function wallMonitor (dice: Dice): Session {
  const who = { headers: browserHeaders(dice), address: newAddress() }
  const pause = dice.between(1500, 4000)
  const steps: Step[] = []
  for (let i = 0; i < 20; i++) {
    const at = i * pause
    steps.push(graphql(who, at, '{ threatCounts { category count } }'), graphql(who, at + 30, '{ stats(windowSeconds: 300) { requests scoreP95 } }'), get(who, at + 60, `/graphql?query=%7Bhealth%7B__typename%7D%7D&_=${1_800_000_000_000 + Math.round(at)}`))
  }
  return session('wall-monitor', false, steps)
}

function mobileFlaky (dice: Dice): Session {
  const headers = ['User-Agent', `LumenApp/4.${dice.whole(1, 20)} (Android 14; Pixel ${dice.whole(5, 9)})`, 'Accept', '*/*', 'Accept-Encoding', 'gzip']
  const addresses = Array.from({ length: dice.whole(1, 3) }, newAddress)
  const steps: Step[] = []
  let at = 0
  for (let i = 0; i < dice.whole(10, 18); i++) {
    const who: Who = { headers, address: dice.pick(addresses), as: 'user' }
    const step = browse(who, at, dice)
    // A lost answer is asked for again, at once and once more.
    for (let j = dice.chance(0.3) ? dice.whole(2, 4) : 1; j > 0; j--) steps.push({ ...step, atMs: at += dice.between(200, 900) })
    if (dice.chance(0.06)) steps.push({ ...step, atMs: at + 100, as: 'nobody', headers: [...step.headers, 'authorization', 'Bearer expired.token.x'], answer: 'bad-token' })
    at += dice.between(800, 6000)
  }
  return session('mobile-flaky', false, steps)
}

function integration (dice: Dice): Session {
  const who: Who = { headers: toolHeaders(dice), address: newAddress(), as: 'key' }
  const pause = dice.between(150, 1500)
  const style = dice.pick([0, 0, 3, 4])
  return session('integration', false, paced(dice.whole(30, 80), () => pause * dice.between(0.8, 1.2), (at, i) => style === 4 ? browse(who, at, dice) : harvest(who, at, dice, i, style)))
}

function office (dice: Dice): Session {
  const address = newAddress()
  const steps: Step[] = []
  for (let i = dice.whole(4, 15); i > 0; i--) steps.push(...visit({ headers: browserHeaders(dice), address }, dice, dice.whole(2, 5), dice.between(0, 25_000), reading(dice, 3)))
  return session('office', false, steps)
}

function explorer (dice: Dice): Session {
  const who = { headers: toolHeaders(dice), address: newAddress() }
  let at = 0
  const steps: Step[] = []
  for (let i = dice.whole(15, 30); i > 0; i--) {
    const roll = dice.next()
    if (roll < 0.25) steps.push(graphql(who, at, `{ ${dice.pick(['threatActor', 'threats', 'actor', 'counts', 'stat'])} { ${dice.pick(['id', 'nam', 'title', 'count'])} } }`, null, 'client-error'))
    else if (roll < 0.35) steps.push(get(who, at, dice.pick(['/docs', '/api', '/api/docs', '/v1', '/openapi.json', '/graphql']), 'not-found'))
    else steps.push(browse(who, at, dice))
    at += dice.between(900, 6000)
  }
  return session('explorer', false, steps)
}

function monitor (dice: Dice): Session {
  const agent = dice.pick(['Uptime-Kuma/1.23.11', 'Better Uptime Bot', 'Pingdom.com_bot_version_1.4', 'kube-probe/1.30', 'Prometheus/2.53.0', ''])
  const who = { headers: agent === '' ? ['Accept', '*/*'] : ['User-Agent', agent, 'Accept', '*/*'], address: newAddress() }
  const url = dice.pick(['/', '/graphql?query=%7Bhealth%7B__typename%7D%7D', '/status'])
  return session('monitor', false, paced(dice.whole(12, 30), () => 2000, (at) => get(who, at, url, url.startsWith('/g') ? 'ok' : 'not-found')))
}

function searchBot (dice: Dice): Session {
  const agent = dice.pick(['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)', 'Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)'])
  const who = { headers: ['Accept', 'text/html,application/xhtml+xml', 'User-Agent', agent, 'Accept-Encoding', 'gzip, deflate, br'], address: newAddress() }
  return session('search-bot', false, paced(dice.whole(12, 35), () => dice.between(700, 3000), (at, i) => get(who, at, i === 0 ? '/robots.txt' : i === 1 ? '/sitemap.xml' : `/${dice.pick(['actors', 'news', 'blog', 'docs'])}/${dice.pick(WORDS)}${dice.chance(0.5) ? '-' + dice.pick(WORDS) : ''}`, 'not-found')))
}

export const HOSTILE_KINDS: MakeSession[] = [
  stuffingOne, stuffingMany,
  scraper('scraper-fast', (dice) => { const pause = dice.between(15, 120); return () => pause }),
  scraper('scraper-regular', (dice) => { const pause = dice.between(400, 2000); return () => pause * dice.between(0.98, 1.02) }),
  scraper('scraper-jittered', (dice) => { const pause = dice.between(400, 1800); return () => pause * dice.between(0.3, 1.7) }),
  routeScanner, enumeration, rotation, tokenGuessing, slowProbes
]
export const BENIGN_KINDS: MakeSession[] = [person, personMistypes, poller, wallMonitor, mobileFlaky, integration, office, explorer, monitor, searchBot]
