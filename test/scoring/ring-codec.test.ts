import fc from 'fast-check'
import t from 'tap'
import { HISTORY_FACTS, HISTORY_LENGTH, decodeHistory, emptyHistory, encodeHistory } from '../../src/scoring/history-shapes.ts'
import { createRing, SLOTS, SLOT_BYTES } from '../../src/scoring/ring.ts'
import { createScoreReader, decodeObservation, encodeObservation, encodeScore } from '../../src/scoring/ring-codec.ts'
import { FACTOR_NAMES } from '../../src/scoring/shapes.ts'
import { observation } from './observations.ts'
import type { HistoryFact } from '../../src/scoring/history-shapes.ts'
import type { Observation, Score } from '../../src/scoring/shapes.ts'

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

t.test('whatever fits into a slot comes out as it went in (10,000 observations)', async (t) => {
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
  let fitted = 0
  fc.assert(fc.property(anyObservation, fc.nat(SLOTS - 1), (seen, slot) => {
    if (!encodeObservation(ring, slot, seen as Observation)) return true
    fitted++
    const back = decodeObservation(ring, slot)
    return JSON.stringify({ ...back, body: null }) === JSON.stringify({ ...seen, body: null }) && Buffer.compare(back.body ?? Buffer.alloc(0), seen.body ?? Buffer.alloc(0)) === 0 && (back.body === null) === (seen.body === null)
  }), { numRuns: 10_000 })
  t.ok(fitted > 3_000, `${fitted} of 10,000 fitted`)
})

t.test('what does not fit is said to, and writes into no other slot', async (t) => {
  encodeObservation(ring, 8, observation({ id: 'neighbour' }))
  const big = new Uint8Array(SLOT_BYTES)
  t.notOk(encodeObservation(ring, 7, observation({ body: big })))
  t.notOk(encodeObservation(ring, 7, observation({ url: '☕'.repeat(3_000) })))
  t.notOk(encodeObservation(ring, 7, observation({ headers: new Array(5_000).fill('') })))
  t.notOk(encodeObservation(ring, 7, observation({ headers: ['x', 'y'.repeat(70_000)] })))
  t.notOk(encodeObservation(ring, 7, observation({ url: '/\ud800' })), 'half a surrogate pair would come back as another character')
  t.ok(encodeObservation(ring, 7, observation({ url: 'é'.repeat(3_500) })), 'two bytes each still fit')
  t.equal(decodeObservation(ring, 7).url, 'é'.repeat(3_500))
  t.equal(decodeObservation(ring, 8).id, 'neighbour')
})

function score (override: Partial<Score> = {}): Score {
  const evidence = { rule: 'sqli.union-select', place: 'query.q', grade: 'certain' as const, text: 'matched "☕" in query.q', technique: 'T1190' }
  return {
    value: 87.65,
    factors: FACTOR_NAMES.map((name, i) => ({ name, contribution: i === 5 ? 80.15 : 1.25, evidence: i === 5 ? [evidence] : [] })),
    grade: 'certain',
    decoy: true,
    automation: false,
    anomaly: true,
    policyVersion: 'p1',
    notInspected: ['body: gzip'],
    source: 'thread',
    degraded: false,
    ...override
  }
}

t.test('a score comes back as it was given', async (t) => {
  const reader = createScoreReader()
  for (const one of [score(), score({ grade: null, value: 0, notInspected: [], decoy: false, automation: true, anomaly: false }), score()]) {
    encodeScore(ring, 3, one, 1)
    t.same(reader.read(ring, 3, ['p0', 'p1']), one)
  }
  encodeScore(ring, 3, null, 1)
  t.equal(reader.read(ring, 3, ['p0', 'p1']), null)
})

t.test('a score too wide for its slot is said to be', async (t) => {
  const evidence = { rule: 'r', place: 'p'.repeat(400), grade: 'weak' as const, text: 't', technique: null }
  const wide = score({ factors: FACTOR_NAMES.map((name) => ({ name, contribution: 0, evidence: new Array(8).fill(evidence) })) })
  encodeScore(ring, 3, wide, 0)
  t.equal(createScoreReader().read(ring, 3, ['p']), 'too wide')
})

t.test('the lists of an answer are its own: whoever adds to them changes no other answer', async (t) => {
  const reader = createScoreReader()
  const read = (): Score => reader.read(ring, 3, ['p']) as Score
  encodeScore(ring, 3, score(), 0)
  read().notInspected.push('body: more')
  t.same(read().notInspected, ['body: gzip'])
})
