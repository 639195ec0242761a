import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { prepareReceipts } from '../../src/receipts/prepare.ts'
import { allowanceCollection, assessmentCollections } from '../../src/receipts/shapes.ts'
import type { StoredAllowance } from '../../src/receipts/shapes.ts'
import { createStandingAllowances } from '../../src/receipts/standing-allowances.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { observation } from '../detect/observations.ts'
import { silentLog } from '../journal/disk.ts'
import { memoryDisk } from '../journal/memory.ts'
import { joinedFleets } from '../local-fleet.ts'
import { openTestStorage } from '../storage.ts'
import { openRooms } from './room.ts'
import type { Room } from './room.ts'
import type { Allowance, Observation } from '../../src/detect/shapes.ts'
import type { Json } from '../../src/std/json.ts'

/** Marking, listing and ending false alarms, on the room: what may be marked, and what the memory of a process holds. */
const NAME = "/catalog?q=O'Brien%20(Smith"
const UNION = '/catalog?q=1%27%20union%20select%20username,password%20from%20users--%20'
const ANALYST = { actor: 'user:2', mayManage: false, dryRun: false, force: false }
const ADMIN = { actor: 'user:1', mayManage: true, dryRun: false, force: true }

function ids ({ processId }: Room): (override: Partial<Observation>) => Observation {
  let count = 0
  return (override) => observation({ id: `as_${processId}_${(count++).toString(36)}`, ...override })
}

t.test('a certain sign is allowed by force of who may manage, and refused in the trail otherwise', async (t) => {
  const { rooms: [room], audited } = await openRooms(t)
  const { observation: { id } } = await room!.see(ids(room!)({ url: UNION }))
  for (const options of [ANALYST, { ...ANALYST, force: true }, { ...ADMIN, force: false }]) {
    await t.rejects(room!.assessments.markFalsePositive(id, options), { code: 'NEKO_ERR_EVIDENCE_CERTAIN', statusCode: 403 })
  }
  t.match(audited, [{ outcome: 'refused' }, { outcome: 'refused' }, { outcome: 'refused' }])
  t.equal(room!.assessments.countAllowances(), 0)
  const { allowances } = await room!.assessments.markFalsePositive(id, ADMIN)
  const certain = allowances.find(({ grade }) => grade === 'certain')!
  t.match(audited[3], { outcome: 'ok', category: 'security', actor: 'user:1', details: { on: 'route /catalog', force: true } })
  await t.rejects(room!.assessments.removeAllowance(certain.id, ANALYST), { code: 'NEKO_ERR_FORBIDDEN' })
  await room!.assessments.removeAllowance(certain.id, ADMIN)
  t.match(audited[4], { type: 'allowance.remove', target: certain.id, actor: 'user:1' })
  await t.rejects(room!.assessments.removeAllowance(certain.id, ADMIN), { code: 'NEKO_ERR_NOT_FOUND' })
})

t.test('a decoy, a masked place and a request that was not scored cannot be marked', async (t) => {
  const { rooms: [room], clock } = await openRooms(t)
  const made = ids(room!)
  const form = { method: 'POST', headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Content-Type', 'application/x-www-form-urlencoded'] }
  const refused = {
    decoy: made({ url: '/wp-admin', route: null }),
    'decoy, spelled another way': made({ url: '/wp%2Dadmin/', route: null }),
    'secret by its name': made({ ...form, url: '/catalog', body: Buffer.from("password=' union select a,b from users-- ") }),
    'path with a secret': made({ url: `/reset;token=abcdef0123456789/${UNION.slice(9)}`, route: null })
  }
  for (const [what, one] of Object.entries(refused)) {
    const { observation: { id }, score } = await room!.see(one)
    t.ok(score.value > 0, what)
    await t.rejects(room!.assessments.markFalsePositive(id, ADMIN), { code: 'NEKO_ERR_INPUT_INVALID' }, what)
  }
  const { id } = made({})
  room!.assessments.recordRefusal({ id, at: clock.now(), client: 'ip:192.0.2.9', address: '192.0.2.9', method: 'GET', url: '/x', source: 'limit', decisionId: null, status: 429 })
  await t.rejects(room!.assessments.markFalsePositive(id, ADMIN), { code: 'NEKO_ERR_INPUT_INVALID' })
})

t.test('a variable of GraphQL can be marked while its request is remembered, in any process, and a credential never', async (t) => {
  const { rooms } = await openRooms(t, 2)
  const made = ids(rooms[0]!)
  const asked = (query: string, variables: object): Observation => made({ url: '/graphql', route: '/graphql', method: 'POST', headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Content-Type', 'application/json'], body: Buffer.from(JSON.stringify({ query, variables })) })
  const search = (text: string): Observation => asked('query ($s: String) { threatActors(search: $s) { totalCount } }', { s: text })
  const alarm = await rooms[0]!.see(search("O'Brien (Smith"))
  t.ok(alarm.score.value >= 75)
  t.match(await rooms[1]!.assessments.markFalsePositive(alarm.observation.id, ANALYST), { allowances: [{ place: 'variables.s', target: 'route /graphql' }] })
  for (const { pool } of rooms) t.ok((await pool.score(search("D'Arcy (Jones"))).value < 40)
  const login = await rooms[0]!.see(asked('mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }', { u: 'bob', password: "O'Brien (Smith" }))
  t.ok(login.score.value >= 40)
  for (const { assessments } of rooms) await t.rejects(assessments.markFalsePositive(login.observation.id, ANALYST), { code: 'NEKO_ERR_INPUT_INVALID' })
})

t.test('a dry run keeps nothing, and says which stored receipts would have passed', async (t) => {
  const { rooms: [room], audited } = await openRooms(t)
  const made = ids(room!)
  const alarm = await room!.see(made({ url: NAME }))
  for (const url of ["/catalog?q=D'Arcy%20(Jones", "/catalog?q=O'Neill%20(Cork", "/catalog?p=D'Arcy%20(Jones", UNION]) await room!.see(made({ url }))
  await room!.see(made({ url: NAME, route: '/search' }))
  await room!.assessments.flush()
  const dry = await room!.assessments.markFalsePositive(alarm.observation.id, { ...ANALYST, dryRun: true })
  t.match(dry, { dryRun: true, changedVerdicts: 3, letThrough: { count: 3, scanned: 6 } })
  t.ok(dry.letThrough!.examples.every(({ score, scoreAfter, action, actionAfter }) => score >= 75 && scoreAfter < 40 && action === 'BLOCK' && actionAfter === 'ALLOW'))
  t.equal(room!.assessments.countAllowances(), 0)
  t.equal(audited.length, 0)
})

t.test('whoever marks the same sign again prolongs its allowance, and pages go through all', async (t) => {
  const { rooms: [room], clock } = await openRooms(t)
  const made = ids(room!)
  const mark = async (url: string): Promise<StoredAllowance> => (await room!.assessments.markFalsePositive((await room!.see(made({ url }))).observation.id, ANALYST)).allowances[0]!
  const first = await mark(NAME)
  clock.advance(86_400_000)
  const again = await mark("/catalog?q=D'Arcy%20(Jones")
  t.equal(again.id, first.id)
  t.equal(again.expiresAt, first.expiresAt + 86_400_000)
  clock.advance(1_000)
  const third = await mark(NAME.replace('q=', 'name='))
  const page = room!.assessments.allowances({ first: 1, after: null })
  t.match(page, { items: [{ id: third.id }], hasNextPage: true })
  t.match(room!.assessments.allowances({ first: 1, after: page.cursors[0]! }), { items: [{ id: first.id }], hasNextPage: false })
  t.throws(() => room!.assessments.allowances({ first: 1, after: 'al_none' }), { code: 'NEKO_ERR_CURSOR_INVALID' })
  t.match(room!.assessments.describeAllowances(), /query\.name of route \/catalog: all texts like w'w \(w\n {4}by user:2 from as_/)
  clock.advance(31 * 86_400_000)
  t.same(room!.assessments.allowances({ first: 10, after: null }).items, [])
})

t.test('what one process ended and another marked again stays, whose log ever is brought in', async (t) => {
  const { rooms: [room], clock, audited } = await openRooms(t)
  const { assessments } = room!
  const { observation: { id } } = await room!.see(ids(room!)({ url: UNION }))
  const { allowances } = await assessments.markFalsePositive(id, ADMIN)
  t.ok(allowances.length > 1, 'the event has several effects: the index knows the first one alone')
  for (const one of allowances) await assessments.removeAllowance(one.id, ADMIN)
  // At the same moment: no clock tells which came first.
  const again = (await assessments.markFalsePositive(id, ADMIN)).allowances
  const [first, second] = [audited.slice(0, 1 + allowances.length), audited.slice(1 + allowances.length)]
  const config = { dataDir: 'mem', auditSigningKey: 'a secret of the tests that is long enough' }
  for (const [name, inputs, stands] of [['the first', first, true], ['the first mark', audited.slice(0, 1), true], ['all', [...first, ...second], true], ['the ends', first, false]] as const) {
    const storage = await openTestStorage(t, [...auditCollections, allowanceCollection], clock)
    const store = storage.collection<StoredAllowance>(allowanceCollection)
    const memory = memoryDisk()
    const dead = createAudit({ config, storage: null, clock, log: silentLog, processId: 'dead', files: memory.files })
    for (const input of inputs) await dead.durable(input)
    await store.putMany(stands ? again : allowances)
    await recoverAudit({ directory: 'mem/audit', signer: createSigner(config.auditSigningKey), storage, clock, log: silentLog, collections: [allowanceCollection], files: memory.files, isLive: () => false })
    const { items } = await store.find({ first: 10 })
    t.same(items.map(({ createdAt }) => createdAt), stands ? again.map(({ createdAt }) => createdAt) : [], name)
  }
})

t.test('a clock that was weeks ahead makes no allowance that lasts longer than thirty days', async (t) => {
  const { rooms: [room], clock } = await openRooms(t)
  const made = ids(room!)
  const mark = async (): Promise<StoredAllowance> => (await room!.assessments.markFalsePositive((await room!.see(made({ url: NAME }))).observation.id, ANALYST)).allowances[0]!
  const AHEAD_MS = 20 * 86_400_000
  clock.advance(AHEAD_MS)
  const ahead = await mark()
  clock.advance(-AHEAD_MS)
  await room!.assessments.removeAllowance(ahead.id, ANALYST)
  const again = await mark()
  t.ok(again.createdAt > ahead.createdAt, 'it is later than the end')
  t.equal(again.expiresAt, clock.now() + 30 * 86_400_000)
})

t.test('an end is heard by every process, and a message that was lost is made up for by the store', async (t) => {
  const clock = createTestClock()
  const storage = await openTestStorage(t, assessmentCollections, clock)
  const store = storage.collection<StoredAllowance>(allowanceCollection)
  const allowed: Allowance[][] = []
  const log = { warn () {} }
  let onRead = async (): Promise<void> => {}
  const read: Pick<typeof store, 'find'> = {
    async find (options) {
      const page = await store.find(options)
      await onRead()
      return page
    }
  }
  const [one, other] = joinedFleets(2).map((fleet, i) => createStandingAllowances({ store: read, fleet, clock, log, isDecoy: (target) => target === 'path /decoy', allow: (all) => { allowed[i] = [...all] } }))
  t.teardown(() => { one!.close(); other!.close() })
  const made = (id: string, target = 'route /x'): StoredAllowance => ({ id, rule: 'shape.odd', place: 'query.q', target, shape: '~w', grade: 'weak', text: '', origin: 'user:1', assessmentId: 'as_1', createdAt: clock.now(), expiresAt: clock.now() + 1_000 })
  one!.put([made('al_1'), made('al_2'), made('al_3', 'path /decoy')])
  await setImmediate()
  t.same(other!.all().map(({ id }) => id), ['al_1', 'al_2', 'al_3'])
  t.same(allowed[1]?.map(({ target }) => target), ['route /x', 'route /x'], 'a decoy stays one')
  other!.end('al_1', clock.now())
  await setImmediate()
  t.equal(one!.get('al_1'), null)
  await store.putMany([made('al_2'), made('al_4')])
  await one!.load()
  t.same(one!.all().map(({ id }) => id).sort(), ['al_2', 'al_4'])
  onRead = async () => {
    onRead = async () => {}
    await store.delete('al_4')
    await store.putMany([made('al_5')])
    one!.end('al_4', clock.now())
  }
  await one!.load()
  t.same(one!.all().map(({ id }) => id).sort(), ['al_2', 'al_5'], 'a reading that began before an end is done again')
  one!.put(Array.from({ length: 1_200 }, (_, i) => made(`al_x${i}`)))
  t.equal(one!.all().length, 1_000)
})

t.test('allowances without a shape end with the upgrade, said once', async (t) => {
  const clock = createTestClock()
  const storage = await openTestStorage(t, assessmentCollections, clock)
  const wide = { rule: 'sqli.union-select', place: 'query.q', route: null, origin: 'user:1', assessmentId: 'as_1', createdAt: clock.now(), expiresAt: clock.now() + 1_000 }
  await storage.collection<{ id: string } & { [field: string]: Json }>(allowanceCollection).putMany([{ id: 'al_a', ...wide }, { id: 'al_b', ...wide }])
  const told: object[] = []
  const log = { warn: (facts: object) => { told.push(facts) } }
  for (let times = 0; times < 2; times++) await prepareReceipts({ storage, log })
  t.same(told, [{ ended: 2 }])
  t.equal(await storage.collection(allowanceCollection).count(), 0)
})
