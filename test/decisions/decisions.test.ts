import t, { type Test } from 'tap'
import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { createDecisions, type Decisions } from '../../src/decisions/decisions.ts'
import { decisionCollections, type DecisionInput } from '../../src/decisions/shapes.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { Principal } from '../../src/identity/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { joinedFleets } from '../local-fleet.ts'
import { openTestStorage } from '../storage.ts'
import { turns, until } from '../time.ts'

const person = { origin: 'user:anna' }
const block = (value: string, more: Partial<DecisionInput> = {}): DecisionInput => ({ scope: 'IP', value, action: 'BLOCK', ttlSeconds: 60, reason: 'test', ...more })

interface House { decisions: Decisions, clock: ReturnType<typeof createTestClock>, events: AuditInput[], forgotten: string[], storage: Storage }

async function openHouse (t: Test, { fleet = joinedFleets(1)[0]!, storage, clock = createTestClock(), auditFails = false }: { fleet?: Fleet, storage?: Storage, clock?: ReturnType<typeof createTestClock>, auditFails?: boolean } = {}): Promise<House> {
  const store = storage ?? await openTestStorage(t)
  if (storage === undefined) await store.migrate([...decisionCollections, auditEvents])
  const events: AuditInput[] = []
  const forgotten: string[] = []
  const audit: Audit = {
    record: (event) => { events.push(event) },
    async durable (event) {
      if (auditFails) throw new Error('the disk is full')
      events.push(event)
      return { ...event, id: 'e', at: 0, processId: 'p', seq: 0 }
    },
    healthy: () => true
  }
  const decisions = createDecisions({ storage: store, audit, fleet, clock, neverBlock: ['127.0.0.0/8', '::1/128'], scopesOf: async () => [], loggedChanges: async () => [], forgetClient: (client) => forgotten.push(client), log: { warn: () => {}, error: () => {} } })
  t.teardown(() => decisions.close())
  return { decisions, clock, events, forgotten, storage: store }
}

t.test('a decision stands from the moment it is made until it expires, to the millisecond', async (t) => {
  const { decisions, clock } = await openHouse(t)
  const decision = await decisions.add(block('192.0.2.1'), person)
  t.equal(decisions.forAddress('192.0.2.1')?.id, decision.id)
  t.equal(decisions.forAddress('192.0.2.2'), null)
  clock.advance(59_999)
  t.equal(decisions.forAddress('192.0.2.1')?.action, 'BLOCK')
  clock.advance(1)
  t.equal(decisions.forAddress('192.0.2.1'), null)
})

t.test('ranges of both families hold, and an allow wins over every block', async (t) => {
  const { decisions } = await openHouse(t)
  await decisions.add(block('198.51.100.0/24', { scope: 'RANGE' }), person)
  await decisions.add(block('2001:db8::/32', { scope: 'RANGE' }), person)
  t.equal(decisions.forAddress('198.51.100.200')?.action, 'BLOCK')
  t.equal(decisions.forAddress('198.51.101.1'), null)
  t.equal(decisions.forAddress('2001:db8:ffff:0:0:0:0:1')?.action, 'BLOCK')
  await decisions.add({ ...block('198.51.100.7'), action: 'ALLOW' }, person)
  t.equal(decisions.forAddress('198.51.100.7')?.action, 'ALLOW')
  await decisions.add({ ...block('0.0.0.0/0', { scope: 'RANGE' }), action: 'ALLOW' }, person)
  t.equal(decisions.forAddress('198.51.100.200')?.action, 'ALLOW')
})

t.test('no block stands against NEVER_BLOCK, unless a peer forwards for strangers', async (t) => {
  const { decisions } = await openHouse(t)
  await t.rejects(decisions.add(block('127.0.0.1'), person), { code: 'NEKO_ERR_INPUT_INVALID' })
  t.equal(decisions.addNow({ ...block('127.0.0.1'), ttlSeconds: 60 }, { origin: 'playbook:X' }), null)
  await decisions.add(block('0.0.0.0/0', { scope: 'RANGE' }), person)
  t.equal(decisions.forAddress('127.0.0.9'), null)
  t.equal(decisions.forAddress('127.0.0.9', false)?.action, 'BLOCK')
})

t.test('a simulated decision is found but weaker than any real one', async (t) => {
  const { decisions } = await openHouse(t)
  decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 60 }, { origin: 'playbook:X', simulated: true })
  t.equal(decisions.forAddress('192.0.2.1')?.simulated, true)
  await decisions.add({ ...block('192.0.2.1'), action: 'CHALLENGE' }, person)
  t.equal(decisions.forAddress('192.0.2.1')?.action, 'CHALLENGE')
})

t.test('repeat offenders are blocked twice as long each time, up to 30 days, and a week forgives a step', async (t) => {
  const { decisions, clock } = await openHouse(t)
  const seconds = (): number => {
    const decision = decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 3600 }, { origin: 'playbook:X' })!
    const length = decision.expiresAt! - clock.now()
    clock.advance(length)
    return length / 1000
  }
  t.same([seconds(), seconds(), seconds()], [3600, 7200, 14400])
  clock.advance(7 * 86_400_000)
  t.equal(seconds(), 14400)
  for (let i = 0; i < 4; i++) seconds()
  t.equal(seconds(), 3600 * 2 ** 7)
})

t.test('a decision of a person reaches the sibling process, and its removal forgets the client there too', async (t) => {
  const [here, there] = joinedFleets(2)
  const first = await openHouse(t, { fleet: here! })
  const second = await openHouse(t, { fleet: there!, storage: first.storage, clock: first.clock })
  const decision = await first.decisions.add(block('2001:db8::5'), person)
  await turns()
  t.equal(second.decisions.forAddress('2001:db8:0:0:0:0:0:5')?.id, decision.id)
  await second.decisions.remove(decision.id, 'user:bob')
  await turns()
  t.equal(first.decisions.forAddress('2001:db8:0:0:0:0:0:5'), null)
  t.same(first.forgotten, ['ip:2001:db8:0:0::/64'])
  t.same(second.forgotten, ['ip:2001:db8:0:0::/64'])
})

t.test('decisions about keys, users and sessions are found by principal; the session speaks first', async (t) => {
  const { decisions } = await openHouse(t)
  const principal: Principal = { kind: 'user', id: 'u1', name: 'anna', role: 'VIEWER', scopes: ['read'], tier: 'relaxed', sessionId: 's1', clientKey: 'user:u1', expiresAt: null }
  t.equal(decisions.forPrincipal(principal), null)
  await decisions.add(block('u1', { scope: 'USER' }), person)
  t.equal(decisions.forPrincipal(principal)?.scope, 'USER')
  await decisions.add({ ...block('s1', { scope: 'SESSION' }), action: 'ALLOW' }, person)
  t.equal(decisions.forPrincipal(principal)?.action, 'ALLOW')
  await decisions.add(block('k1', { scope: 'KEY' }), person)
  t.equal(decisions.forPrincipal({ ...principal, kind: 'key', id: 'k1', sessionId: null })?.scope, 'KEY')
})

t.test('decisions and the ladder survive a restart', async (t) => {
  const first = await openHouse(t)
  const decision = first.decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 3600 }, { origin: 'playbook:X' })!
  await first.decisions.close()
  const second = await openHouse(t, { storage: first.storage, clock: first.clock })
  await second.decisions.load()
  t.equal(second.decisions.forAddress('192.0.2.1')?.id, decision.id)
  first.clock.advance(3_600_000)
  const again = second.decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 3600 }, { origin: 'playbook:X' })!
  t.equal((again.expiresAt! - again.createdAt) / 1000, 7200)
})

t.test('what the audit trail cannot keep is not done', async (t) => {
  const { decisions } = await openHouse(t, { auditFails: true })
  await t.rejects(decisions.add(block('192.0.2.1'), person))
  t.equal(decisions.forAddress('192.0.2.1'), null)
})

t.test('every change stands in the audit trail with the effect that replays it', async (t) => {
  const { decisions, events } = await openHouse(t)
  const decision = await decisions.add(block('192.0.2.1'), person)
  await decisions.remove(decision.id, 'user:bob')
  t.match(events, [
    { type: 'decision.add', actor: 'user:anna', effects: [{ op: 'put', id: decision.id }] },
    { type: 'decision.remove', actor: 'user:bob', effects: [{ op: 'delete', id: decision.id }] }
  ])
})

t.test('values are checked: bad addresses, ranges, ids and times are refused with a code', async (t) => {
  const { decisions } = await openHouse(t)
  for (const bad of [block('nonsense'), block('10.0.0.0/8'), block('10.0.0.1', { scope: 'RANGE' }), block('$ne', { scope: 'USER' }), block('192.0.2.1', { ttlSeconds: 0 }), block('192.0.2.1', { ttlSeconds: 1e12 })]) {
    await t.rejects(decisions.add(bad, person), { code: 'NEKO_ERR_INPUT_INVALID' }, JSON.stringify(bad))
  }
  await t.rejects(decisions.remove('dc_none', 'user:anna'), { code: 'NEKO_ERR_NOT_FOUND' })
})

t.test('a client that is blocked already and seen again keeps one block: the longer of the two, and no further step', async (t) => {
  const { decisions, clock } = await openHouse(t)
  const short = decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 3600 }, { origin: 'playbook:ACTIVE_ATTACK_DETECTED' })!
  const long = decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 86_400 }, { origin: 'playbook:CRITICAL_THREAT_RESPONSE' })!
  t.equal(long.id, short.id)
  t.equal(long.expiresAt! - clock.now(), 86_400_000)
  t.equal(decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 60 }, { origin: 'playbook:X' })!.expiresAt, long.expiresAt)
  t.equal(decisions.active().BLOCK, 1)
  await decisions.remove(long.id, 'user:anna')
  t.equal(decisions.forAddress('192.0.2.1'), null)
  t.equal(decisions.preview({ scope: 'IP', value: '192.0.2.1', action: 'BLOCK', ttlSeconds: 60 })!.ttlSeconds, 60, 'the ladder is forgotten')
})

t.test('two processes that see one offence at once come to one block, everywhere and in the store', async (t) => {
  const fleets = joinedFleets(3)
  const houses: House[] = []
  for (const fleet of fleets) houses.push(await openHouse(t, { fleet, ...(houses[0] === undefined ? {} : { storage: houses[0].storage, clock: houses[0].clock }) }))
  houses[0]!.decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 3600 }, { origin: 'playbook:A' })
  houses[1]!.decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 7200 }, { origin: 'playbook:B' })
  await turns()
  for (const { decisions } of houses) await decisions.settled()
  const ids = houses.map(({ decisions }) => decisions.forAddress('192.0.2.1')?.id)
  t.equal(new Set(ids).size, 1)
  t.same(houses.map(({ decisions }) => decisions.active().BLOCK), [1, 1, 1])
  const page = await houses[0]!.decisions.list({}, { first: 10, after: null })
  t.same(page.items.map(({ id }) => id), [ids[0]])
  await houses[2]!.decisions.remove(ids[0]!, 'user:anna')
  await turns()
  t.same(houses.map(({ decisions }) => decisions.forAddress('192.0.2.1')), [null, null, null])
})

t.test('an allow wins over every block, whichever of key, user, session and address each is about', async (t) => {
  const { decisions } = await openHouse(t)
  const principal: Principal = { kind: 'user', id: 'u1', name: 'anna', role: 'VIEWER', scopes: ['read'], tier: 'relaxed', sessionId: 's1', clientKey: 'user:u1', expiresAt: null }
  const byAddress = await decisions.add(block('192.0.2.1'), person)
  await decisions.add({ ...block('s1', { scope: 'SESSION' }), action: 'CHALLENGE' }, person)
  t.equal(decisions.forCaller(principal, byAddress)?.action, 'BLOCK', 'a challenge lifts no block')
  await decisions.add(block('u1', { scope: 'USER' }), person)
  t.equal(decisions.forPrincipal(principal)?.action, 'BLOCK', 'nor the block of the user')
  const allow = await decisions.add({ ...block('192.0.2.1'), action: 'ALLOW' }, person)
  t.equal(decisions.forCaller(principal, allow)?.id, allow.id)
  t.equal(decisions.forCaller(null, allow)?.id, allow.id)
})

t.test('a simulated allow spares nobody, a real one does', async (t) => {
  const { decisions } = await openHouse(t)
  const playbook = { origin: 'playbook:ACTIVE_ATTACK_DETECTED' }
  for (const [scope, value] of [['KEY', 'k1'], ['USER', 'u1'], ['IP', '192.0.2.1'], ['RANGE', '2001:db8:0:1::/64']] as const) {
    await decisions.add({ ...block(value, { scope }), action: 'ALLOW' }, { ...person, simulated: true })
    const made = decisions.addNow({ ...block(value, { scope }), ttlSeconds: 60 }, playbook)
    t.equal(made?.action, 'BLOCK', `${scope}: not by a simulated one`)
    await decisions.remove(made!.id, 'user:anna')
    await decisions.add({ ...block(value, { scope }), action: 'ALLOW' }, person)
    t.equal(decisions.addNow({ ...block(value, { scope }), ttlSeconds: 60 }, playbook), null, `${scope}: by a real one`)
  }
})

t.test('whoever is let back in is let out of the quarantine that came with the block; a challenge by a person stays', async (t) => {
  const { decisions } = await openHouse(t)
  const made = decisions.addNow({ ...block('192.0.2.1'), ttlSeconds: 60 }, { origin: 'playbook:ACTIVE_ATTACK_DETECTED' })!
  decisions.addNow({ ...block('192.0.2.1'), action: 'CHALLENGE', ttlSeconds: 600 }, { origin: 'playbook:AUTOMATION_DETECTED', escalates: false })
  const byPerson = await decisions.add({ ...block('192.0.2.1'), action: 'CHALLENGE' }, person)
  await decisions.remove(made.id, 'user:anna')
  t.equal(decisions.forAddress('192.0.2.1')?.id, byPerson.id)
  await decisions.remove(byPerson.id, 'user:anna')
  t.equal(decisions.forAddress('192.0.2.1'), null)
})

t.test('a range within NEVER_BLOCK is refused like an address, and a range around it spares what it holds', async (t) => {
  const { decisions } = await openHouse(t)
  await t.rejects(decisions.add(block('127.0.0.0/24', { scope: 'RANGE' }), person), { code: 'NEKO_ERR_INPUT_INVALID' })
  await t.rejects(decisions.add(block('::1/128', { scope: 'RANGE' }), person), { code: 'NEKO_ERR_INPUT_INVALID' })
  await decisions.add(block('::/0', { scope: 'RANGE' }), person)
  t.equal(decisions.forAddress('0:0:0:0:0:0:0:1'), null)
  t.equal(decisions.forAddress('2001:db8:0:0:0:0:0:1')?.action, 'BLOCK')
})

t.test('ranges of every length are found at their edges and not beyond, and gone when removed', async (t) => {
  const { decisions } = await openHouse(t)
  const made: string[] = []
  for (const bits of [0, 1, 7, 8, 15, 16, 17, 24, 31, 32]) made.push((await decisions.add(block(`203.0.113.77/${bits}`, { scope: 'RANGE', reason: String(bits) }), person)).id)
  const lengths = (address: string): string => decisions.forAddress(address)?.reason ?? 'none'
  for (const id of made) {
    const { reason } = (await decisions.get(id))!
    t.not(lengths('203.0.113.77'), 'none', reason)
    await decisions.remove(id, 'user:anna')
  }
  t.equal(lengths('203.0.113.77'), 'none')
  for (const bits of [16, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128]) {
    const decision = await decisions.add(block(`2001:db8:abcd:ef01:8000::ffff/${bits}`, { scope: 'RANGE' }), person)
    t.equal(decisions.forAddress('2001:db8:abcd:ef01:8000:0:0:ffff')?.id, decision.id, `/${bits}`)
    t.equal(decisions.forAddress('2002:db8:abcd:ef01:8000:0:0:ffff'), null)
    if (bits > 64) t.equal(decisions.forAddress('2001:db8:abcd:ef01:0:0:0:ffff'), null, `/${bits} and no further`)
    if (bits > 32 && bits <= 64) t.equal(decisions.forAddress('2001:db8:2bcd:ef01:0:0:0:ffff'), null, `/${bits} and no further`)
    await decisions.remove(decision.id, 'user:anna')
    t.equal(decisions.forAddress('2001:db8:abcd:ef01:8000:0:0:ffff'), null)
  }
})

t.test('a store that is down keeps nobody from deciding; what was decided reaches it when it is back', async (t) => {
  const real = await openTestStorage(t)
  await real.migrate([...decisionCollections])
  let down = true
  const guard = <F extends (...args: never[]) => Promise<unknown>>(call: F): F => (async (...args: never[]) => {
    if (down) throw Object.assign(new Error('down'), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
    return await call(...args)
  }) as unknown as F
  const storage: Storage = {
    ...real,
    collection (definition) {
      const inner = real.collection(definition)
      return { ...inner, putMany: guard(inner.putMany.bind(inner)), delete: guard(inner.delete.bind(inner)), get: guard(inner.get.bind(inner)), find: inner.find.bind(inner) } as never
    }
  }
  const { decisions } = await openHouse(t, { storage })
  const kept = await decisions.add(block('192.0.2.1'), person)
  const gone = await decisions.add(block('192.0.2.2'), person)
  await decisions.remove(gone.id, 'user:anna')
  t.equal(decisions.forAddress('192.0.2.1')?.id, kept.id)
  t.equal((await decisions.list({}, { first: 10, after: null })).items.length, 0)
  down = false
  await decisions.settled()
  t.same((await decisions.list({}, { first: 10, after: null })).items.map(({ id }) => id), [kept.id])
})

t.test('more decisions and steps than one page of the store are loaded again', async (t) => {
  const real = await openTestStorage(t)
  await real.migrate([...decisionCollections])
  // Inserted at once: one by one they take a slow store longer than a call may.
  const whole: Storage = { ...real, collection (definition) { const inner = real.collection(definition); return { ...inner, putMany: async (docs: never[]) => { await inner.insertMany(docs) } } as never } }
  const first = await openHouse(t, { storage: whole })
  for (let i = 0; i < 1100; i++) first.decisions.addNow({ ...block(`10.${i >> 8}.${i & 255}.1`), ttlSeconds: 3600 }, { origin: 'playbook:X' })
  await first.decisions.close()
  const second = await openHouse(t, { storage: first.storage, clock: first.clock })
  await second.decisions.load()
  t.equal(second.decisions.active().BLOCK, 1100)
  t.equal(second.decisions.preview({ scope: 'IP', value: '10.4.75.1', action: 'BLOCK', ttlSeconds: 60 })!.ttlSeconds, 120)
})

t.test('a process that lost messages notices and reads the store again', async (t) => {
  const [here, there] = joinedFleets(2)
  const lossy: Fleet = { ...here!, publish (topic, message) { if (topic === 'decisions.digest') here!.publish(topic, message) } }
  const first = await openHouse(t, { fleet: lossy })
  const clock = first.clock
  const stayed = await first.decisions.add(block('192.0.2.1', { ttlSeconds: null }), person)
  await first.decisions.settled()
  const second = await openHouse(t, { fleet: there!, storage: first.storage, clock })
  await second.decisions.load()
  clock.advance(60_000)
  const added = await first.decisions.add(block('192.0.2.2', { ttlSeconds: null }), person)
  await first.decisions.remove(stayed.id, 'user:anna')
  await first.decisions.settled()
  t.equal(second.decisions.forAddress('192.0.2.1')?.id, stayed.id, 'it heard nothing')
  lossy.publish('decisions.digest', [-1, 0])
  lossy.publish('decisions.digest', [-1, 0])
  const isBehind = (): boolean => second.decisions.forAddress('192.0.2.1') !== null || second.decisions.forAddress('192.0.2.2') === null
  await until('it read the store', () => !isBehind())
  t.equal(second.decisions.forAddress('192.0.2.1'), null)
  t.equal(second.decisions.forAddress('192.0.2.2')?.id, added.id)
})

t.test('while Redis is away, what another host decided is read from the store within five seconds', async (t) => {
  const deaf = (): Fleet => ({ ...joinedFleets(1)[0]!, bridgeUp: () => false })
  const here = await openHouse(t, { fleet: deaf() })
  const there = await openHouse(t, { fleet: deaf(), storage: here.storage, clock: here.clock })
  await there.decisions.load()
  await here.decisions.add(block('k1', { scope: 'KEY', ttlSeconds: null }), person)
  const key: Principal = { kind: 'key', id: 'k1' } as Principal
  await here.decisions.settled()
  here.clock.advance(2_000)
  await until('the store is read', () => there.decisions.forPrincipal(key) !== null)
  t.equal(there.decisions.forPrincipal(key)?.action, 'BLOCK')
})

t.test('what expired is told, and no longer counted, within a second', async (t) => {
  const { decisions, clock } = await openHouse(t)
  const decision = await decisions.add(block('192.0.2.1', { ttlSeconds: 1 }), person)
  t.equal(decisions.active().BLOCK, 1)
  const told: string[] = []
  decisions.onChanged(({ decision, removed }) => { if (removed) told.push(decision.id) })
  clock.advance(999)
  t.same(told, [])
  clock.advance(1000)
  t.same(told, [decision.id])
  t.equal(decisions.active().BLOCK, 0)
})

t.test('one decision stands per client, action and kind of origin, and each kind is found by itself', async (t) => {
  const { decisions } = await openHouse(t)
  const made = new Map<string, string>()
  for (const origin of ['user:anna', 'playbook:X', 'import:list', 'region:there']) {
    made.set(origin, (await decisions.add(block('192.0.2.1', { ttlSeconds: 600 }), { origin })).id)
  }
  t.equal(new Set(made.values()).size, 4)
  t.equal(decisions.active().BLOCK, 4)
  const again = await decisions.add(block('192.0.2.1', { reason: 'again' }), { origin: 'key:k1' })
  t.equal(again.id, made.get('user:anna'), 'a key that may decide speaks for a person')
  t.match(again, { reason: 'again', origin: 'key:k1' })
  t.equal(again.expiresAt! - again.createdAt, 600_000, 'what lasts longer is not shortened in passing')
  t.equal(decisions.active().BLOCK, 4)
  const bounced = await decisions.add(block('192.0.2.1'), { origin: 'key:bouncer', originKind: 'playbook' })
  t.equal(bounced.id, made.get('playbook:X'), 'one that only bounces does not')
  t.equal(decisions.byPeopleAbout('192.0.2.1')?.id, again.id)
  await decisions.remove(again.id, 'user:anna')
  t.equal(decisions.byPeopleAbout('192.0.2.1'), null)
  t.equal(decisions.forAddress('192.0.2.1')?.action, 'BLOCK')
})

t.test('two people who decide the same at once, in one process or in two, come to one decision everywhere', async (t) => {
  const fleets = joinedFleets(2)
  const here = await openHouse(t, { fleet: fleets[0]! })
  const there = await openHouse(t, { fleet: fleets[1]!, storage: here.storage, clock: here.clock })
  const ttls = [600, 60, 3600, null, 30]
  await Promise.all(ttls.map((ttlSeconds, i) => [here, there][i % 2]!.decisions.add(block('192.0.2.1', { ttlSeconds }), person)))
  await turns()
  for (const { decisions } of [here, there]) await decisions.settled()
  const stored = await here.decisions.list({}, { first: 10, after: null })
  t.match(stored.items.map(({ expiresAt }) => expiresAt), [null])
  for (const { decisions } of [here, there]) {
    t.equal(decisions.active().BLOCK, 1)
    t.equal(decisions.forAddress('192.0.2.1')?.id, stored.items[0]!.id)
  }
})

t.test('decisions of an older version, in the store or told by a process of it, get their kind from their origin', async (t) => {
  const [here, there] = joinedFleets(2)
  const { decisions, storage } = await openHouse(t, { fleet: here! })
  const old = (id: string, value: string, origin: string): never => ({ id, scope: 'IP', value, action: 'BLOCK', origin, reason: '', simulated: false, createdAt: 0, expiresAt: null, assessmentId: null }) as never
  await storage.collection(decisionCollections[0]!).putMany([old('dc_a', '192.0.2.1', 'user:anna'), old('dc_b', '192.0.2.2', 'playbook:X'), old('dc_c', '192.0.2.1', 'key:k1')])
  await decisions.load()
  there!.publish('decisions.put', { decision: old('dc_d', '192.0.2.3', 'playbook:X'), step: null })
  await turns()
  for (const [address, kind] of [['192.0.2.1', 'person'], ['192.0.2.2', 'playbook'], ['192.0.2.3', 'playbook']] as const) {
    t.equal(decisions.forAddress(address)?.originKind, kind)
    t.equal(decisions.byPeopleAbout(address)?.originKind, kind === 'person' ? 'person' : undefined)
  }
  t.equal(decisions.active().BLOCK, 3, 'of two by people about one address the one that ends last')
})

t.test('a block that holds for its own maker needs force, whatever it is about; others do not', async (t) => {
  const { decisions } = await openHouse(t)
  const principal: Principal = { kind: 'user', id: 'u1', name: 'anna', role: 'ADMIN', scopes: ['decide', 'manage'], tier: 'relaxed', sessionId: 's1', clientKey: 'user:u1', expiresAt: null }
  const by = (address: string | null, force = false): Parameters<Decisions['add']>[1] => ({ ...person, maker: { principal, address }, force })
  const own: Array<[DecisionInput['scope'], string, string]> = [
    ['RANGE', '0.0.0.0/0', '192.0.2.1'], ['RANGE', '192.0.2.0/24', '192.0.2.1'], ['IP', '192.0.2.1', '192.0.2.1'], ['IP', '::ffff:192.0.2.1', '192.0.2.1'],
    ['RANGE', '0.0.0.0/0', '127.0.0.1'], ['RANGE', '::/0', '2001:db8:0:0:0:0:0:1'], ['RANGE', '2001:db8::/64', '2001:db8:0:0:0:0:0:1'],
    ['USER', 'u1', '192.0.2.1'], ['SESSION', 's1', '192.0.2.1']
  ]
  for (const [scope, value, address] of own) {
    await t.rejects(decisions.add(block(value, { scope }), by(address)), { code: 'NEKO_ERR_DECISION_SELF' }, `${scope} ${value}`)
    if (!value.endsWith('/0')) t.equal((await decisions.add({ ...block(value, { scope }), action: 'CHALLENGE' }, by(address))).action, 'CHALLENGE')
    t.equal((await decisions.add(block(value, { scope }), by(address, true))).action, 'BLOCK', 'forced')
  }
  for (const [scope, value] of [['RANGE', '192.0.3.0/24'], ['RANGE', '2001:db8::/32'], ['IP', '192.0.2.2'], ['USER', 'u2'], ['KEY', 'u1'], ['SESSION', 's2']] as const) {
    t.equal((await decisions.add(block(value, { scope }), by('192.0.2.1'))).action, 'BLOCK', `${scope} ${value}`)
  }
})
