import t from 'tap'
import { keepBelowCeiling } from '../../src/receipts/ceiling.ts'
import { createRecentReceipts } from '../../src/receipts/recent-receipts.ts'
import { redactObservation } from '../../src/receipts/redact.ts'
import { allowanceCollection, assessmentCollection } from '../../src/receipts/shapes.ts'
import { createReceiptIds } from '../../src/std/id.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { observation } from '../detect/observations.ts'
import { until } from '../processes/load.ts'
import { oldReceipt } from './old-receipts.ts'
import { openRooms } from './room.ts'
import type { Room } from './room.ts'
import type { Recorded } from '../../src/receipts/receipt.ts'
import type { StoredAssessment } from '../../src/receipts/shapes.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import type { CollectionDefinition, Document, Patience, Storage } from '../../src/storage/port.ts'

const INJECTION = '/catalog?q=1%27%20union%20select%20username,password%20from%20users--%20'

function ids (room: Room): (override?: Partial<Observation>) => Observation {
  const next = createReceiptIds(room.processId)
  return (override = {}) => observation({ id: next(), ...override })
}

t.test('a receipt is found by its id at once, whatever its score', async (t) => {
  const { rooms: [room] } = await openRooms(t)
  const made = ids(room!)
  const calm = await room!.see(made())
  const attack = await room!.see(made({ url: INJECTION }))
  const seen = await room!.assessments.get(calm.observation.id)
  t.match(seen, { id: calm.observation.id, method: 'GET', path: '/catalog', action: 'ALLOW', external: false })
  t.equal(seen?.factors.length, 7)
  t.equal((await room!.assessments.get(attack.observation.id))?.score, attack.score.value)
  t.equal(await room!.assessments.get('as_000000000000_zz'), null)
  t.equal(await room!.assessments.get('nonsense'), null)
})

t.test('any process finds a receipt of another one, and all give the same figures', async (t) => {
  const { rooms } = await openRooms(t, 3)
  const receipt = await rooms[0]!.see(ids(rooms[0]!)())
  for (let i = 0; i < 4; i++) await rooms[1]!.see(ids(rooms[1]!)({ url: INJECTION }))
  for (const room of rooms) t.equal((await room.assessments.get(receipt.observation.id))?.id, receipt.observation.id)
  const figures = await Promise.all(rooms.map((room) => room.assessments.stats(60)))
  t.equal(figures[0]!.requests, 5)
  t.same(figures[1], figures[0])
  t.same(figures[2], figures[0])
})

t.test("a blocked client's flood is counted, and pushes nobody's receipt out of memory", async (t) => {
  const { rooms: [room], clock } = await openRooms(t)
  const made = ids(room!)
  const kept = await room!.see(made())
  const refuse = (): string => {
    const { id } = made()
    room!.assessments.recordRefusal({ id, at: clock.now(), client: 'ip:192.0.2.9', address: '192.0.2.9', method: 'GET', url: '/', source: 'decision', decisionId: 'dc_1', status: 403 })
    return id
  }
  const flood = Array.from({ length: 50_000 }, refuse)
  t.equal((await room!.assessments.stats(60)).requests, 50_001)
  t.ok(await room!.assessments.get(flood[0]!))
  t.equal(await room!.assessments.get(flood[1000]!), null)
  t.ok(await room!.assessments.get(kept.observation.id), 'what others asked is still there')
  clock.advance(1_000)
  t.ok(await room!.assessments.get(refuse()), 'the next second has its own')
})

t.test('figures: by action, percentiles, factors; what is older than the window is out', async (t) => {
  const { rooms: [room], clock } = await openRooms(t)
  const made = ids(room!)
  for (let i = 0; i < 98; i++) await room!.see(made())
  await room!.see(made({ url: INJECTION }))
  room!.assessments.recordRefusal({ id: made().id, at: clock.now(), client: 'ip:192.0.2.9', address: '192.0.2.9', method: 'GET', url: '/x?token=abc', source: 'limit', decisionId: null, status: 429 })
  const stats = await room!.assessments.stats(60)
  t.equal(stats.requests, 100)
  t.equal(stats.byAction.reduce((sum, one) => sum + one.count, 0), 100)
  t.ok(stats.scoreP50 <= stats.scoreP95 && stats.scoreP95 <= stats.scoreP99)
  t.ok(stats.topFactors.some((one) => one.name === 'payload'))
  t.same(stats.topFactors, [...stats.topFactors].sort((a, b) => b.contribution - a.contribution))
  clock.advance(90_000)
  t.equal((await room!.assessments.stats(60)).requests, 0)
  t.equal((await room!.assessments.stats(120)).requests, 100)
  clock.advance(3_600_000)
  t.equal((await room!.assessments.stats(7_200)).requests, 100)
  clock.advance(86_400_000)
  t.equal((await room!.assessments.stats(86_400)).requests, 0)
  await t.rejects(room!.assessments.stats(0), { code: 'NEKO_ERR_INPUT_INVALID' })
  await t.rejects(room!.assessments.stats(86_401), { code: 'NEKO_ERR_INPUT_INVALID' })
})

t.test('a request refused before it was scored has a receipt too', async (t) => {
  const { rooms: [room], clock } = await openRooms(t)
  const id = ids(room!)().id
  room!.assessments.recordRefusal({ id, at: clock.now(), client: 'ip:192.0.2.9', address: '192.0.2.9', method: 'GET', url: '/x?token=abc', source: 'decision', decisionId: 'de_1', status: 403 })
  t.match(await room!.assessments.get(id), { action: 'BLOCK', score: 0, source: 'decision', decisionId: 'de_1', factors: [], path: '/x' })
  t.match(await room!.assessments.explain(id), /standing decision de_1/)
})

t.test('from 20 points on receipts are stored, of the others one in a hundred; pages are newest first', async (t) => {
  const { rooms: [room], clock, storage } = await openRooms(t)
  const made = ids(room!)
  for (let i = 0; i < 200; i++) await room!.see(made({ at: clock.now() + i }))
  for (let i = 0; i < 5; i++) await room!.see(made({ url: INJECTION, at: clock.now() + 1_000 + i }))
  await room!.assessments.flush()
  t.equal(await storage.collection<StoredAssessment>(assessmentCollection).count(), 7)
  const page = await room!.assessments.find({ minScore: 20 }, { first: 3, after: null })
  t.equal(page.items.length, 3)
  t.ok(page.hasNextPage)
  t.ok(page.items[0]!.at > page.items[1]!.at)
  const rest = await room!.assessments.find({ minScore: 20 }, { first: 3, after: page.cursors[2]! })
  t.equal(rest.items.length, 2)
  t.equal(await room!.assessments.count({ minScore: 20 }), 5)
  t.equal(await room!.assessments.count({ since: clock.now() + 1_000 }), 5)
  t.equal(await room!.assessments.count({ action: page.items[0]!.action, minScore: 20 }), 5)
  t.notOk('expiresAt' in page.items[0]!)
})

t.test('at most 200 a second are stored, and a watched client\'s all are', async (t) => {
  const { rooms: [room], clock, storage } = await openRooms(t)
  const made = ids(room!)
  for (let i = 0; i < 300; i++) await room!.see(made({ url: INJECTION }))
  await room!.assessments.flush()
  t.equal(await storage.collection<StoredAssessment>(assessmentCollection).count(), 200)
  clock.advance(1_000)
  room!.assessments.watch('ip:192.0.2.50', 60_000)
  for (let i = 0; i < 30; i++) await room!.see(made({ client: 'ip:192.0.2.50' }))
  await room!.assessments.flush()
  t.equal(await storage.collection<StoredAssessment>(assessmentCollection).count(), 230)
})

t.test('a stored receipt outlives its process, expires in time, and holds no secret', async (t) => {
  const { rooms, clock, storage } = await openRooms(t, 2)
  const gone = observation({ id: 'as_abcdefghijkl_5', url: INJECTION + '&token=hunter2Zz9', headers: ['Authorization', 'Bearer hunter2Zz9'] })
  await rooms[0]!.see(gone)
  await rooms[0]!.assessments.flush()
  const found = await rooms[1]!.assessments.get(gone.id)
  t.equal(found?.id, gone.id)
  t.notOk(JSON.stringify(await storage.collection<StoredAssessment>(assessmentCollection).get(gone.id)).includes('hunter2Zz9'))
  clock.advance(31 * 86_400_000)
  t.equal(await rooms[1]!.assessments.get(gone.id), null)
})

t.test('a store that is down costs receipts, not requests', async (t) => {
  const { rooms: [room], storage } = await openRooms(t)
  await room!.see(ids(room!)({ url: INJECTION }))
  await storage.close()
  await room!.assessments.flush()
  t.equal((await room!.assessments.stats(60)).requests, 1)
})

t.test('the ceiling removes the oldest first', async (t) => {
  const { rooms: [room], clock, storage } = await openRooms(t)
  const made = ids(room!)
  for (let i = 0; i < 30; i++) await room!.see(made({ url: INJECTION, at: clock.now() + i }))
  await room!.assessments.flush()
  const store = storage.collection<StoredAssessment>(assessmentCollection)
  t.equal(await keepBelowCeiling(store, { rows: 20, bytes: 1e9 }), 10)
  const page = await store.find({ sort: [['at', 1]], first: 1 })
  t.equal(page.items[0]!.at, clock.now() + 10)
  t.ok(await keepBelowCeiling(store, { rows: 1e6, bytes: 10_000 }) > 0, 'bytes bind as well')
  t.equal(await keepBelowCeiling(store), 0)
})

t.test('the ceiling removes no more than what is over it, though all came in one millisecond', async (t) => {
  const { rooms: [room], clock, storage } = await openRooms(t)
  const made = ids(room!)
  for (let i = 0; i < 30; i++) await room!.see(made({ url: INJECTION, at: clock.now() }))
  await room!.assessments.flush()
  const store = storage.collection<StoredAssessment>(assessmentCollection)
  t.equal(await keepBelowCeiling(store, { rows: 20, bytes: 1e9 }), 10)
  t.equal(await store.count(), 20)
})

t.test('queries of receipts use their indexes', async (t) => {
  const { storage } = await openRooms(t)
  if (storage.kind === 'mongodb') return t.comment('FerretDB names no index in its plans')
  t.same(await storage.explain(assessmentCollection, { sort: [['at', -1]], first: 20 }), ['assessments_at'])
  t.same(await storage.explain(assessmentCollection, { where: { action: 'BLOCK' }, sort: [['at', -1]], first: 20 }), ['assessments_action'])
  t.same(await storage.explain(allowanceCollection, { sort: [['createdAt', -1]], first: 20 }), ['allowances_created'])
})

t.test('memory of recent receipts is bounded in number, bytes and age', async (t) => {
  const clock = createTestClock()
  const receipts = createRecentReceipts(clock, { count: 100, bytes: 500_000 })
  const receipt = (body: number): Recorded => ({ observation: observation({ body: new Uint8Array(body) }), score: { factors: [] } as never, verdict: { action: 'ALLOW', simulated: false }, status: 200, decisionId: null, address: '', at: 0 })
  for (let i = 0; i < 150; i++) receipts.keep(receipt(10))
  t.equal(receipts.size(), 100)
  for (let i = 0; i < 100; i++) receipts.keep(receipt(16_000))
  t.ok(receipts.bytes() <= 500_000 && receipts.size() < 30)
  const kept = receipts.keep(receipt(60_000)) as Recorded
  t.equal(kept.isWhole, false, 'what a receipt cannot show is not held either')
  t.same(redactObservation(kept.observation, { factors: [] }), redactObservation(receipt(60_000).observation, { factors: [] }))
  clock.advance(16 * 60_000)
  receipts.get('x')
  t.equal(receipts.size(), 0)
  t.equal(receipts.bytes(), 0)
})

t.test('listeners hear of receipts; one that throws harms nobody', async (t) => {
  const { rooms: [room] } = await openRooms(t)
  const heard: string[] = []
  room!.assessments.onAdded(() => { throw new Error('on purpose') })
  const stop = room!.assessments.onAdded((_receipt, describe) => heard.push(describe().id))
  const first = await room!.see(ids(room!)())
  stop()
  await room!.see(ids(room!)())
  t.same(heard, [first.observation.id])
})

t.test('explain prints a waterfall that adds up, and nothing that steers a terminal', async (t) => {
  const { rooms: [room] } = await openRooms(t)
  const { observation: seen, score } = await room!.see(ids(room!)({ url: INJECTION, method: 'G\u001b[31mT' }))
  const text = await room!.assessments.explain(seen.id) as string
  t.match(text, seen.id)
  t.match(text, score.value.toFixed(2))
  t.notMatch(text, /\u001b/)
  t.equal(await room!.assessments.explain('as_000000000000_0'), null)
})

t.test('replay gives the same number from the stored receipt, also where secrets were masked', async (t) => {
  const { rooms: [room] } = await openRooms(t)
  const made = ids(room!)
  const attack = await room!.see(made({ url: INJECTION }))
  t.match(await room!.assessments.replay(attack.observation.id), /the same\n/)
  const inSecret = await room!.see(made({ method: 'POST', url: '/login', headers: ['Content-Type', 'application/x-www-form-urlencoded', 'User-Agent', 'sqlmap/1.8'], body: new TextEncoder().encode("user=bob&password=' union select username,password from users-- ") }))
  const text = await room!.assessments.replay(inSecret.observation.id)
  t.match(text, /: the same\n/)
  if (inSecret.score.factors[5]!.contribution > 0) t.match(text, /payload: taken from the receipt, since .*password.* was masked/)
})

const MEANT = { actor: 'user:1', mayManage: true, dryRun: false, force: true }

t.test('a false alarm is allowed at its place on its route, for a while, everywhere', async (t) => {
  const { rooms, clock, audited } = await openRooms(t, 2)
  const made = ids(rooms[0]!)
  const alarm = await rooms[0]!.see(made({ url: INJECTION }))
  const madeThere = ids(rooms[1]!)
  await rooms[1]!.see(madeThere({ url: INJECTION }))
  // A quarantined client's request was challenged whatever it scored: nothing changes for it.
  const quarantined = await rooms[1]!.pool.score(observation({ url: INJECTION }))
  rooms[1]!.assessments.record({ observation: madeThere({ url: '/catalog' }), score: { ...quarantined, value: 10 }, verdict: { ...alarm.verdict, action: 'CHALLENGE' }, status: 200, decisionId: 'dc_1', address: '192.0.2.8', at: alarm.at })
  t.ok(alarm.score.value >= 40)
  const { allowances, changedVerdicts } = await rooms[0]!.assessments.markFalsePositive(alarm.observation.id, MEANT)
  t.ok(allowances.length > 0)
  t.equal(changedVerdicts, 2, 'one here and one in the sibling')
  t.ok(allowances.every((one) => one.target === 'route /catalog' && one.place !== 'client'))
  t.match(audited[0], { type: 'falsePositive.mark', assessmentId: alarm.observation.id, score: alarm.score.value, factor: 'payload' })
  for (const room of rooms) {
    t.ok((await room.pool.score(observation({ url: INJECTION }))).value < 40)
    t.ok((await room.pool.score(observation({ url: INJECTION, route: '/other' }))).value >= 40, 'not on another route')
    t.ok((await room.pool.score(observation({ url: INJECTION.replace('q=', 'other=') }))).value >= 40, 'not at another place')
    t.match(room.pool.policy().version, /\+[0-9a-f]{8}$/)
  }
  clock.advance(31 * 86_400_000)
  await t.rejects(rooms[0]!.assessments.markFalsePositive('as_000000000000_0', MEANT), { code: 'NEKO_ERR_NOT_FOUND' })
  const calm = await rooms[0]!.see(made({ headers: observation().headers, history: { ...observation().history!, failedLogins600s: 9 } }))
  await t.rejects(rooms[0]!.assessments.markFalsePositive(calm.observation.id, MEANT), { code: 'NEKO_ERR_INPUT_INVALID' }, 'what a client does over time cannot be allowed')
})

t.test('allowances are read from the store at start', async (t) => {
  const { rooms, storage } = await openRooms(t, 1)
  const alarm = await rooms[0]!.see(ids(rooms[0]!)({ url: INJECTION }))
  await rooms[0]!.assessments.markFalsePositive(alarm.observation.id, MEANT)
  t.ok(await storage.collection(allowanceCollection).count() > 0)
  await rooms[0]!.assessments.load()
  t.match(rooms[0]!.pool.policy().version, /\+/)
})

t.test('recording costs the request path a few microseconds', async (t) => {
  const { rooms: [room] } = await openRooms(t)
  const made = ids(room!)
  const { score, verdict } = await room!.see(made())
  const receipts = Array.from({ length: 30_000 }, (): Recorded => ({ observation: made(), score, verdict, status: 200, decisionId: null, address: '192.0.2.7', at: 1 }))
  for (const receipt of receipts.slice(0, 10_000)) room!.assessments.record(receipt)
  const before = process.threadCpuUsage()
  for (const receipt of receipts.slice(10_000)) room!.assessments.record(receipt)
  const { user, system } = process.threadCpuUsage(before)
  const us = (user + system) / 20_000
  t.comment(`${us.toFixed(2)} us each`)
  t.ok(us < 10)
})

t.test('what nobody waits for has more time, and is late without taking the database down', async (t) => {
  const asked = new Set<string>()
  const listening = (storage: Storage): Storage => ({
    ...storage,
    collection<T extends Document> (definition: CollectionDefinition, patience: Patience = 'request') {
      return new Proxy(storage.collection<T>(definition, patience), {
        get (target, name) {
          if (definition === assessmentCollection) asked.add(`${String(name)} ${patience}`)
          return Reflect.get(target, name) as unknown
        }
      })
    }
  })
  const { rooms: [room], storage } = await openRooms(t, 1, listening)
  await storage.collection<StoredAssessment>(assessmentCollection).insertMany([oldReceipt(1)])
  asked.clear()
  await room!.assessments.load()
  await room!.see(observation({ url: '/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--' }))
  await room!.assessments.flush()
  await until('the old one is cleaned', () => [...asked].some((call) => call.startsWith('putMany')))
  t.same([...asked].sort(), ['find background', 'insertMany background', 'putMany background'])
})
