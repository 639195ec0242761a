import t, { type Test } from 'tap'
import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import type { Fleet } from '../../src/cluster/fleet.ts'
import { createDecisions, type Decisions } from '../../src/decisions/decisions.ts'
import { decisionCollections, type DecisionInput } from '../../src/decisions/shapes.ts'
import type { Principal } from '../../src/identity/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { joinedFleets } from '../fleet.ts'
import { openTestStorage } from '../storage.ts'

const person = { origin: 'user:anna' }
const block = (value: string, more: Partial<DecisionInput> = {}): DecisionInput => ({ scope: 'IP', value, action: 'BLOCK', ttlSeconds: 60, reason: 'test', ...more })

interface House { decisions: Decisions, clock: ReturnType<typeof createTestClock>, events: AuditInput[], forgotten: string[], storage: Storage }

async function openHouse (t: Test, { fleet = joinedFleets(1)[0]!, storage, clock = createTestClock(), auditFails = false }: { fleet?: Fleet, storage?: Storage, clock?: ReturnType<typeof createTestClock>, auditFails?: boolean } = {}): Promise<House> {
  const store = storage ?? await openTestStorage(t)
  if (storage === undefined) await store.migrate([...decisionCollections])
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
  const decisions = createDecisions({ storage: store, audit, fleet, clock, neverBlock: ['127.0.0.0/8', '::1/128'], forgetClient: (client) => forgotten.push(client), log: { error: () => {} } })
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
    return (decision.expiresAt! - decision.createdAt) / 1000
  }
  t.same([seconds(), seconds(), seconds()], [3600, 7200, 14400])
  clock.advance(7 * 86_400_000)
  t.equal(seconds(), 14400)
  for (let i = 0; i < 20; i++) seconds()
  t.equal(seconds(), Math.min(30 * 86_400, 3600 * 256))
})

t.test('a decision of a person reaches the sibling process, and its removal forgets the client there too', async (t) => {
  const [here, there] = joinedFleets(2)
  const first = await openHouse(t, { fleet: here! })
  const second = await openHouse(t, { fleet: there!, storage: first.storage, clock: first.clock })
  const decision = await first.decisions.add(block('2001:db8::5'), person)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(second.decisions.forAddress('2001:db8:0:0:0:0:0:5')?.id, decision.id)
  await second.decisions.remove(decision.id, 'user:bob')
  await new Promise((resolve) => setTimeout(resolve, 20))
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
