/**
 * Whole sessions as scripts: who asks what, when, with which headers. Generated from a seed, so that a run can be
 * repeated and varied. `bench/sessions.ts` plays them over HTTP in real time; the simulation in test/ plays them
 * against history and scorer alone. Hosts and names are invented.
 */
export type Answer = 'ok' | 'failed-login' | 'bad-token' | 'not-found' | 'client-error'

export interface Step {
  /** Milliseconds from the session's start. */
  atMs: number
  method: string
  url: string
  /** name, value, ... */
  headers: string[]
  body: string | null
  address: string
  /** `key` and `user` steps are signed in (a real credential is put in by who plays them). */
  as: 'nobody' | 'key' | 'user'
  /** What a server without defence would answer; used by the simulation only. */
  answer: Answer
}

export interface Session {
  kind: string
  hostile: boolean
  steps: Step[]
}

export interface Dice {
  /** 0-1. */
  next (): number
  between (low: number, high: number): number
  whole (low: number, high: number): number
  pick<T> (list: readonly T[]): T
  chance (share: number): boolean
}

/** mulberry32: small, fast, good enough to vary a script. */
export function createDice (seed: number): Dice {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const between = (low: number, high: number): number => low + next() * (high - low)
  return {
    next,
    between,
    whole: (low, high) => Math.floor(between(low, high + 1)),
    pick: (list) => list[Math.floor(next() * list.length)] as never,
    chance: (share) => next() < share
  }
}

const CHROME = (v: number, os: string): string => `Mozilla/5.0 (${os}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${v}.0.0.0 Safari/537.36`
const SYSTEMS = ['Windows NT 10.0; Win64; x64', 'Macintosh; Intel Mac OS X 10_15_7', 'X11; Linux x86_64'] as const

export function browserHeaders (dice: Dice): string[] {
  const roll = dice.next()
  const language = dice.pick(['en-US,en;q=0.9', 'de-DE,de;q=0.9,en;q=0.8', 'fr-FR,fr;q=0.9', 'ja-JP,ja;q=0.9', 'en-GB,en;q=0.9'])
  if (roll < 0.25) return ['User-Agent', `Mozilla/5.0 (${dice.pick(SYSTEMS)}; rv:${dice.whole(120, 146)}.0) Gecko/20100101 Firefox/${dice.whole(120, 146)}.0`, 'Accept', '*/*', 'Accept-Language', language, 'Accept-Encoding', 'gzip, deflate, br, zstd']
  if (roll < 0.4) return ['Accept', '*/*', 'User-Agent', `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/${dice.whole(16, 26)}.${dice.whole(0, 6)} Safari/605.1.15`, 'Accept-Language', language, 'Accept-Encoding', 'gzip, deflate, br']
  const v = dice.whole(125, 147)
  const os = dice.pick(SYSTEMS)
  return ['sec-ch-ua', `"Chromium";v="${v}", "Not.A/Brand";v="8", "Google Chrome";v="${v}"`, 'sec-ch-ua-mobile', '?0', 'sec-ch-ua-platform', os.startsWith('W') ? '"Windows"' : os.startsWith('M') ? '"macOS"' : '"Linux"', 'User-Agent', CHROME(v, os), 'Accept', '*/*', 'Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Mode', 'cors', 'Accept-Encoding', 'gzip, deflate, br, zstd', 'Accept-Language', language]
}

export function toolHeaders (dice: Dice): string[] {
  return dice.pick([
    () => ['User-Agent', `python-requests/2.${dice.whole(25, 32)}.0`, 'Accept-Encoding', 'gzip, deflate', 'Accept', '*/*', 'Connection', 'keep-alive'],
    () => ['User-Agent', 'Go-http-client/1.1', 'Accept-Encoding', 'gzip'],
    () => ['User-Agent', `axios/1.${dice.whole(2, 12)}.0`, 'Accept', 'application/json, text/plain, */*'],
    () => ['User-Agent', `curl/8.${dice.whole(1, 15)}.0`, 'Accept', '*/*'],
    () => browserHeaders(dice),
    () => ['User-Agent', CHROME(dice.whole(100, 147), dice.pick(SYSTEMS)), 'Accept', '*/*', 'Accept-Encoding', 'gzip, deflate']
  ])()
}

let addressCount = 0

/** An address nobody else has; 10.0.0.0/8 stands in for the internet. */
export function newAddress (): string {
  addressCount++
  return `10.${(addressCount >> 16) & 255}.${(addressCount >> 8) & 255}.${addressCount & 255}`
}

export interface Who {
  headers: string[]
  address: string
  as?: Step['as']
}

export function graphql (who: Who, atMs: number, query: string, variables: object | null = null, answer: Answer = 'ok'): Step {
  const body = JSON.stringify(variables === null ? { query } : { query, variables })
  return { atMs, method: 'POST', url: '/graphql', headers: [...who.headers, 'Content-Type', 'application/json'], body, address: who.address, as: who.as ?? 'nobody', answer }
}

export function get (who: Who, atMs: number, url: string, answer: Answer = 'ok'): Step {
  return { atMs, method: 'GET', url, headers: who.headers, body: null, address: who.address, as: who.as ?? 'nobody', answer }
}

const LOGIN = 'mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }'
const NAMES = ['anna', 'bela', 'chen', 'dora', 'emil', 'fred', 'gina', 'hugo', 'ines', 'jan', 'kim', 'lena', 'milo', 'nina', 'otto', 'pia', 'rosa', 'sam', 'tina', 'uwe'] as const
const WORDS = ['bear', 'panda', 'spider', 'typhoon', 'kitten', 'lazarus', 'turla', 'sandworm', 'cobalt', 'carbon', 'silk', 'jade', 'storm', 'dragon', 'ghost', 'equation'] as const

export function login (who: Who, atMs: number, dice: Dice, answer: Answer, user: string = dice.pick(NAMES) + dice.whole(1, 999)): Step {
  const password = 'p' + dice.whole(1000, 999999)
  if (dice.chance(0.3)) return graphql(who, atMs, `mutation { login(username: "${user}", password: "${password}") { accessToken } }`, null, answer)
  return graphql(who, atMs, LOGIN, { u: user, p: password }, answer)
}

/** The questions that people and programs ask of this API. */
export function browse (who: Who, atMs: number, dice: Dice): Step {
  const roll = dice.next()
  if (roll < 0.2) return graphql(who, atMs, '{ threatCounts { category count } }')
  if (roll < 0.45) return graphql(who, atMs, 'query ($s: String, $n: Int) { threatActors(search: $s, first: $n) { nodes { id name country } totalCount } }', { s: dice.pick(WORDS), n: dice.pick([10, 20, 50]) })
  if (roll < 0.65) return graphql(who, atMs, 'query ($id: ID!) { threatActor(id: $id) { name aliases description } }', { id: `ta_${dice.pick(WORDS)}` })
  if (roll < 0.8) return graphql(who, atMs, '{ stats(windowSeconds: 3600) { requests scoreP50 } }')
  if (roll < 0.9) return get(who, atMs, '/graphql?query=%7Bhealth%7B__typename%7D%7D')
  return get(who, atMs, dice.pick(['/favicon.ico', '/', '/graphiql']), 'not-found')
}

/** Something other than the last question: what a scraper or an enumerator asks for next. */
export function harvest (who: Who, atMs: number, dice: Dice, index: number, style: number): Step {
  if (style === 0) return graphql(who, atMs, 'query ($a: String) { threatActors(first: 50, after: $a) { nodes { id name aliases description } pageInfo { endCursor } } }', { a: 'c' + (index * 7919 + dice.whole(1, 999)).toString(36) })
  if (style === 1) return graphql(who, atMs, `{ threatActor(id: "ta_${(index * 104729 + 17).toString(36)}") { name description } }`)
  if (style === 2) return get(who, atMs, `/threats?page=${index + 1}&size=100`, 'not-found')
  return graphql(who, atMs, 'query ($s: String) { threatActors(search: $s, first: 100) { nodes { id name } } }', { s: dice.pick(WORDS).slice(0, 2) + String.fromCharCode(97 + index % 26) + (index / 26 | 0) })
}

export { LOGIN, NAMES, WORDS }
