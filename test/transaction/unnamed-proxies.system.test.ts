import t from 'tap'
import { createOperations } from '../../src/transports/websocket/operations.ts'
import type { UnnamedProxy } from '../../src/transaction/transaction.ts'
import { createUnnamedProxies } from '../../src/transaction/unnamed-proxies.ts'
import { joinedFleets } from '../local-fleet.ts'
import { openApp, type TestApp } from './app.ts'
import { ATTACK, BENIGN, newHolder, SUSPECT, type Holder } from './doors.ts'

/** A proxy that TRUST_PROXY does not name, before everybody: one attacker behind it, and the others. */
interface Answer { status: number, body: { data?: { login?: { accessToken: string } | null }, notes?: string[] } }

const LOGIN = { query: 'mutation { login(username: "admin", password: "a long pass phrase of the contract suite") { accessToken } }' }

async function post ({ url }: TestApp, asked: object, headers: Record<string, string>): Promise<Answer> {
  const response = await fetch(`${url}/graphql`, { method: 'POST', body: JSON.stringify(asked), headers: { 'content-type': 'application/json', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'accept-language': 'en', ...headers } })
  return { status: response.status, body: await response.json() as Answer['body'] }
}

const decided = async ({ app }: TestApp): Promise<number> => {
  await app.decisions.settled()
  return (await app.decisions.list({}, { first: 100, after: null })).items.length
}

for (const header of ['x-forwarded-for', 'forwarded']) {
  t.test(`an attacker behind a private proxy without a name is refused and shuts out nobody (${header})`, async (t) => {
    const at = await openApp(t, { TRUST_PROXY: '', RATE_LIMIT_STANDARD: '1000/60/60' })
    const from = (i: number): Record<string, string> => ({ [header]: header === 'forwarded' ? `for=198.51.100.${i}` : `198.51.100.${i}` })
    for (let i = 0; i < 8; i++) t.equal((await post(at, ATTACK, from(i))).status, 403)
    for (let i = 0; i < 4; i++) await post(at, SUSPECT, from(i))
    t.equal(await decided(at), 0, 'nothing stands')
    t.notOk(at.app.limits.isHeld('ip:127.0.0.1'), 'nobody is held')
    t.equal((await post(at, { query: BENIGN }, from(100))).status, 200)
    t.type((await post(at, LOGIN, from(101))).body.data?.login?.accessToken, 'string')
    t.match((await (await fetch(`${at.url}/health/ready`)).json() as Answer['body']).notes, [/TRUST_PROXY/])
    t.equal(at.takeLines().filter(({ msg }) => String(msg).includes('TRUST_PROXY')).length, 1)
  })
}

t.test('a block of such a proxy that a playbook of an older version made holds for nobody who comes through it, one by a person does', async (t) => {
  const at = await openApp(t, { TRUST_PROXY: '', NEVER_BLOCK: '192.0.2.99' })
  const block = { scope: 'IP', value: '127.0.0.1', action: 'BLOCK', ttlSeconds: 600, reason: 'test' } as const
  await at.app.decisions.add(block, { origin: 'playbook:CRITICAL_THREAT_RESPONSE' })
  t.equal((await post(at, { query: BENIGN }, { 'x-forwarded-for': '198.51.100.1' })).status, 200)
  t.equal((await post(at, { query: BENIGN }, {})).status, 403, 'its own requests are its own')
  await at.app.decisions.add(block, { origin: 'user:anna' })
  t.equal((await post(at, { query: BENIGN }, { 'x-forwarded-for': '198.51.100.1' })).status, 403)
})

/** A public peer, whose requests no test can send: the same walk without the socket. */
function openPeer (at: TestApp): (address: string, asked: typeof ATTACK | { query: string }, more?: { holder?: Holder, unnamedProxy?: UnnamedProxy | null }) => Promise<string> {
  const run = createOperations(at.app)
  return async (address, asked, { holder, unnamedProxy = 'public' } = {}) => {
    const operation = { variables: null, operationName: null, extensions: null, ...asked }
    const headers = ['Host', 'neko.example', 'User-Agent', 'Mozilla/5.0', 'X-Forwarded-For', '10.1.1.1']
    const caller = { address, neverBlockApplies: true, unnamedProxy, headers, requestId: 'r', principal: holder?.principal ?? null }
    const came = await run({ asked: operation, text: JSON.stringify(operation), caller, isOver: () => false })
    const errors = came.kind === 'errors' ? came.errors : []
    return String(errors[0]?.extensions?.code ?? 'ok')
  }
}

async function blockSeconds (at: TestApp, address: string): Promise<number | null> {
  const decision = at.app.decisions.forAddress(address)
  return decision === null ? null : Math.round((decision.expiresAt! - at.clock.now()) / 1000)
}

t.test('a public peer is blocked by its own address whatever it sends, shortly when three callers have come through it', async (t) => {
  const at = await openApp(t)
  const ask = openPeer(at)
  const holders = [await newHolder(at.app), await newHolder(at.app), await newHolder(at.app)]
  const notes = async (): Promise<number> => (await (await fetch(`${at.url}/health/ready`)).json() as { notes: string[] }).notes.filter((note) => note.includes('TRUST_PROXY')).length
  for (const [i, seconds] of [86_400, 86_400, 86_400, 600].entries()) {
    const address = `198.51.100.${i + 1}`
    for (const holder of holders.slice(0, i)) for (let n = 0; n < 3; n++) t.equal(await ask(address, { query: BENIGN }, { holder }), 'ok')
    t.equal(await ask(address, ATTACK), 'NEKO_ERR_BLOCKED')
    t.equal(await blockSeconds(at, address), seconds, `${i} callers`)
    t.equal(await ask(address, { query: BENIGN }), 'NEKO_ERR_BLOCKED', 'strangers are blocked')
    t.equal(await ask(address, { query: BENIGN }, { holder: holders[0]! }), 'ok', 'callers are not')
    t.equal(await notes(), i === 3 ? 1 : 0)
  }
  at.clock.advance(601_000)
  t.equal(await ask('198.51.100.4', { query: BENIGN }), 'ok')
  await ask('198.51.100.4', ATTACK)
  t.equal(await blockSeconds(at, '198.51.100.4'), 600, 'and no longer the next time')
  const lines = at.takeLines().filter(({ msg }) => String(msg).includes('TRUST_PROXY'))
  t.match(lines, [{ peer: '198.51.100.4' }])
  t.equal(lines.length, 1)
  for (const holder of holders) await ask('198.51.100.9', { query: BENIGN }, { holder, unnamedProxy: null })
  await ask('198.51.100.9', ATTACK, { unnamedProxy: null })
  t.equal(await blockSeconds(at, '198.51.100.9'), 86_400, 'an office that forwards for nobody is no proxy')
})

t.test('callers are counted over all processes, and what is kept of peers is bounded', async (t) => {
  const [here, there] = joinedFleets(2)
  const warned: object[] = []
  const log = { warn: (details: object) => { warned.push(details) } }
  const rooms = [createUnnamedProxies({ fleet: here!, log }), createUnnamedProxies({ fleet: there!, log })]
  const from = (i: number, address: string): never => ({ unnamedProxy: 'public', address, principal: { clientKey: `key:${i}` } }) as never
  for (let i = 0; i < 3; i++) {
    rooms[i % 2]!.note(from(i, '198.51.100.1'))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.strictSame(rooms.map((room) => room.kindOf(from(0, '198.51.100.1'))), ['shared', 'shared'])
  t.strictSame(rooms.map((room) => room.isSeen()), [true, true])
  t.strictSame(warned, [{ peer: '198.51.100.1' }], 'one line')
  for (let i = 0; i < 5_000; i++) for (let n = 0; n < 3; n++) rooms[0]!.note(from(n, `10.0.${i >> 8}.${i & 255}`))
  t.equal(rooms[0]!.kindOf(from(0, '198.51.100.1')), null, 'the oldest is forgotten')
  t.equal(rooms[0]!.kindOf(from(0, '10.0.19.135')), 'shared')
})
