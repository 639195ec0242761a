import fc from 'fast-check'
import t from 'tap'
import { HISTORY_FACTS, HISTORY_LENGTH, decodeHistory, emptyHistory, encodeHistory } from '../../src/detect/history-shapes.ts'
import { createRing, LARGE, SMALL } from '../../src/threads/ring.ts'
import { createScoreReader, createScoreWriter, readRequest, writeRequest } from '../../src/threads/ring-codec.ts'
import { FACTOR_NAMES } from '../../src/detect/shapes.ts'
import { observation } from '../detect/observations.ts'
import { scaled } from '../scale.ts'
import type { HistoryFact } from '../../src/detect/history-shapes.ts'
import type { Observation, Score } from '../../src/detect/shapes.ts'

const ring = createRing()
const text = fc.string({ unit: 'binary', maxLength: 300 })

t.test('history crosses in the order of its facts', async (t) => {
  const snapshot = emptyHistory()
  HISTORY_FACTS.forEach((fact, i) => { snapshot[fact as HistoryFact] = i + 0.5 })
  const numbers = new Float64Array(HISTORY_LENGTH)
  encodeHistory(snapshot, numbers)
  t.same([...numbers], HISTORY_FACTS.map((_, i) => i + 0.5))
  t.same(decodeHistory(numbers), snapshot)
})

t.test('whatever fits into a slot comes out as it went in', async (t) => {
  const anyObservation = fc.record({
    id: text,
    at: fc.integer({ min: 0, max: 2 ** 42 }),
    client: text,
    method: text,
    url: text,
    headers: fc.array(text, { maxLength: 40 }),
    body: fc.option(fc.uint8Array({ maxLength: 9_000 })),
    route: fc.option(text),
    history: fc.option(fc.constant(emptyHistory()))
  })
  const count = scaled(2_500, 10_000)
  let fitted = 0
  fc.assert(fc.property(anyObservation, fc.nat(SMALL.slots - 1), (seen, slot) => {
    if (!writeRequest(ring, slot, seen as Observation)) return true
    fitted++
    const back = readRequest(ring, slot)
    return JSON.stringify({ ...back, body: null }) === JSON.stringify({ ...seen, body: null }) && Buffer.compare(back.body ?? Buffer.alloc(0), seen.body ?? Buffer.alloc(0)) === 0 && (back.body === null) === (seen.body === null)
  }), { numRuns: count })
  t.ok(fitted > 0.3 * count, `${fitted} of ${count} fitted`)
})

t.test('64 KiB of body with 16 of headers fit into a large slot', async (t) => {
  const large = createRing(LARGE)
  const seen = observation({ headers: ['x', 'y'.repeat(16_000)], body: new Uint8Array(65_536).fill(7) })
  for (const slot of [0, LARGE.slots - 1]) {
    t.ok(writeRequest(large, slot, seen))
    const back = readRequest(large, slot)
    t.equal(back.headers[1], seen.headers[1])
    t.equal(Buffer.compare(back.body!, seen.body!), 0)
  }
  t.equal(Buffer.compare(readRequest(large, 0).body!, seen.body!), 0)
})

t.test('what does not fit is said to, and writes into no other slot', async (t) => {
  writeRequest(ring, 8, observation({ id: 'neighbour' }))
  const big = new Uint8Array(SMALL.slotBytes)
  t.notOk(writeRequest(ring, 7, observation({ body: big })))
  t.notOk(writeRequest(ring, 7, observation({ url: '☕'.repeat(3_000) })))
  t.notOk(writeRequest(ring, 7, observation({ headers: new Array(5_000).fill('') })))
  t.notOk(writeRequest(ring, 7, observation({ headers: ['x', 'y'.repeat(70_000)] })))
  t.notOk(writeRequest(ring, 7, observation({ url: '/\ud800' })), 'half a surrogate pair would come back as another character')
  t.ok(writeRequest(ring, 7, observation({ url: 'é'.repeat(3_500) })), 'two bytes each still fit')
  t.equal(readRequest(ring, 7).url, 'é'.repeat(3_500))
  t.equal(readRequest(ring, 8).id, 'neighbour')
})

function score (override: Partial<Score> = {}): Score {
  const evidence = { rule: 'sqli.union-select', place: 'query.q', grade: 'certain' as const, text: 'matched "☕" in query.q', technique: 'T1190' }
  return {
    value: 87.65,
    factors: FACTOR_NAMES.map((name, i) => ({ name, contribution: i === 5 ? 80.15 : 1.25, evidence: i === 5 ? [evidence] : [] })),
    grade: 'certain',
    payloadValue: 0.9137,
    decoy: true,
    automation: false,
    anomaly: true,
    policyVersion: 'p1',
    notInspected: ['body: gzip'],
    beyond: 'body',
    source: 'thread',
    degraded: false,
    ...override
  }
}

t.test('a score comes back as it was given', async (t) => {
  const reader = createScoreReader()
  const writer = createScoreWriter()
  for (const one of [score(), score({ grade: null, value: 0, notInspected: [], beyond: null, decoy: false, automation: true, anomaly: false }), score({ beyond: 'head' }), score()]) {
    writer.write(ring, 3, one, 1)
    t.same(reader.read(ring, 3, ['p0', 'p1']), one)
  }
  writer.write(ring, 3, null, 1)
  t.equal(reader.read(ring, 3, ['p0', 'p1']), null)
})

t.test('whatever a score says comes back, half characters included', async (t) => {
  const reader = createScoreReader()
  const writer = createScoreWriter()
  // Units of any kind, so that halves of surrogate pairs stand alone and beside each other.
  const units = fc.array(fc.oneof(fc.integer({ min: 32, max: 126 }), fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff })), { maxLength: 40 }).map((codes) => String.fromCharCode(...codes))
  const evidence = fc.record({ rule: units, place: units, grade: fc.constantFrom('weak' as const, 'likely' as const, 'certain' as const), text: units, technique: fc.option(units) })
  const lists = fc.array(fc.array(evidence, { maxLength: 3 }), { minLength: 7, maxLength: 7 })
  fc.assert(fc.property(lists, fc.array(units, { maxLength: 3 }), (all, notInspected) => {
    const one = score({ factors: FACTOR_NAMES.map((name, i) => ({ name, contribution: i, evidence: all[i]! })), notInspected })
    for (let again = 0; again < 2; again++) {
      writer.write(ring, 5, one, 0)
      const back = reader.read(ring, 5, ['p1'])
      if (back !== 'too wide' && JSON.stringify(back) !== JSON.stringify(one)) return false
    }
    return true
  }), { numRuns: scaled(1_500, 5_000) })
  t.pass()
})

t.test('a score too wide for its slot is said to be', async (t) => {
  const evidence = { rule: 'r', place: 'p'.repeat(400), grade: 'weak' as const, text: 't', technique: null }
  const wide = score({ factors: FACTOR_NAMES.map((name) => ({ name, contribution: 0, evidence: new Array(8).fill(evidence) })) })
  createScoreWriter().write(ring, 3, wide, 0)
  t.equal(createScoreReader().read(ring, 3, ['p']), 'too wide')
})

t.test('the lists of an answer are its own: whoever adds to them changes no other answer', async (t) => {
  const reader = createScoreReader()
  const read = (): Score => reader.read(ring, 3, ['p']) as Score
  createScoreWriter().write(ring, 3, score(), 0)
  read().notInspected.push('body: more')
  t.same(read().notInspected, ['body: gzip'])
})

t.test('evidence that was sent before comes back by its number, however much of it there is', async (t) => {
  const reader = createScoreReader()
  const writer = createScoreWriter()
  const about = (i: number): Score => score({ factors: FACTOR_NAMES.map((name, at) => ({ name, contribution: 1, evidence: at === 5 ? [{ rule: 'r', place: 'query.' + 'q'.repeat(i % 3), grade: 'weak' as const, text: `number ${i} of ${'☕'.repeat(i % 5)}`, technique: null }] : [] })) })
  // More than are kept, with the same few in between.
  for (let i = 0; i < 3_000; i++) {
    for (const one of [about(i), about(i % 7), about(i)]) {
      writer.write(ring, 3, one, 0)
      const back = reader.read(ring, 3, ['p']) as Score
      if (JSON.stringify(back.factors) !== JSON.stringify(one.factors)) return t.fail(`number ${i} came back as another`)
    }
  }
  const wide = { rule: 'w', place: 'p'.repeat(1_500), grade: 'weak' as const, text: 't', technique: null }
  const tooWide = score({ factors: FACTOR_NAMES.map((name, i) => ({ name, contribution: 0, evidence: [{ ...wide, text: String(i) }] })) })
  writer.write(ring, 3, tooWide, 0)
  t.equal(reader.read(ring, 3, ['p']), 'too wide')
  const narrow = score({ factors: FACTOR_NAMES.map((name, i) => ({ name, contribution: 0, evidence: i === 0 ? [{ ...wide, text: '0' }] : [] })) })
  writer.write(ring, 3, narrow, 0)
  t.same((reader.read(ring, 3, ['p']) as Score).factors, narrow.factors, 'what did not fit was not sent')
})
