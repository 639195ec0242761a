import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { FACTOR_NAMES } from '../../src/detect/shapes.ts'
import { createPackedReceipts } from '../../src/receipts/packed-receipts.ts'
import { createRecentReceipts } from '../../src/receipts/recent-receipts.ts'
import type { Recorded } from '../../src/receipts/receipt.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { observation } from '../detect/observations.ts'
import { scaled } from '../scale.ts'

/** A receipt that was numbers and bytes is the receipt that came, whatever it holds. */
const PLAIN = { noNullPrototype: true } as const
const units = fc.string({ maxLength: 30, unit: 'binary' })
const evidence = fc.record({ rule: units, place: units, grade: fc.constantFrom('weak' as const, 'likely' as const, 'certain' as const), text: units, technique: fc.option(units) }, PLAIN)
const hundredths = fc.integer({ min: 0, max: 10_000 }).map((value) => value / 100)
const score = fc.record({
  value: hundredths,
  factors: fc.tuple(...FACTOR_NAMES.map((name) => fc.record({ name: fc.constant(name), contribution: hundredths, evidence: fc.oneof(fc.constant([]), fc.array(evidence, { maxLength: 3 })) }, PLAIN))),
  grade: fc.constantFrom(null, 'weak' as const, 'likely' as const, 'certain' as const),
  payloadValue: fc.double({ min: 0, max: 1, noNaN: true }),
  decoy: fc.boolean(),
  automation: fc.boolean(),
  anomaly: fc.boolean(),
  policyVersion: units,
  notInspected: fc.array(units, { maxLength: 2 }),
  beyond: fc.constantFrom(null, 'head' as const, 'body' as const),
  source: fc.constantFrom('thread' as const, 'inline' as const, 'none' as const),
  degraded: fc.boolean()
}, PLAIN)
const receipt: fc.Arbitrary<Recorded> = fc.record({
  observation: fc.record({ url: units, headers: fc.array(units, { maxLength: 20 }), client: fc.constantFrom('ip:192.0.2.1', 'user:u1'), body: fc.option(fc.uint8Array({ maxLength: 3_000 })), route: fc.option(units) }).map((parts) => observation(parts)),
  score: score as fc.Arbitrary<Recorded['score']>,
  verdict: fc.record({ action: fc.constantFrom('ALLOW' as const, 'CHALLENGE' as const, 'BLOCK' as const), simulated: fc.boolean() }, PLAIN),
  status: fc.constantFrom(0, 200, 404, 503),
  decisionId: fc.option(units),
  address: fc.constantFrom('192.0.2.1', '2001:db8::1', ''),
  at: fc.integer({ min: 0, max: 2 ** 45 })
}, PLAIN)

t.test('what is packed comes back as it was', async (t) => {
  const packed = createPackedReceipts(3)
  let fit = 0
  fc.assert(fc.property(receipt, receipt, (one, neighbour) => {
    packed.put(2, neighbour)
    if (!packed.put(1, one)) return true
    fit++
    const back = packed.get(1)
    const plain = ({ observation, ...rest }: Recorded): string => JSON.stringify({ ...rest, ...observation, body: null }, (_key, value: unknown) => Object.is(value, -0) ? 0 : value)
    const [after, before] = [back, one].map(plain).map((text) => JSON.parse(text) as object)
    if (!isDeepStrictEqual(after, before)) return false
    return Buffer.compare(Buffer.from(back.observation.body ?? []), Buffer.from(one.observation.body ?? [])) === 0 && (back.observation.body === null) === (one.observation.body === null)
  }), { numRuns: scaled(300, 3_000) })
  t.ok(fit > 100, `${fit} fit into a place`)
})

t.test('packed or not, they are found by id and evidence, and leave in their order', async (t) => {
  const recent = createRecentReceipts(createTestClock(), { count: 50, bytes: 10_000_000 })
  const model: Recorded[] = []
  for (const one of fc.sample(receipt, 200)) {
    const large = model.length % 7 === 0 ? { ...one, observation: { ...one.observation, url: `/${'x'.repeat(5_000)}` } } : one
    recent.keep(large)
    model.push(large)
  }
  const last = model.slice(-50)
  for (const one of last) t.equal((recent.get(one.observation.id) as Recorded).observation.url, one.observation.url)
  for (const one of model.slice(0, -50)) t.equal(recent.get(one.observation.id), null)
  const withEvidence = last.filter(({ score: { factors } }) => factors.some((factor) => factor.evidence.length > 0)).reverse()
  t.strictSame([...recent.recent(() => true)].map(({ observation: { id } }) => id), withEvidence.map(({ observation: { id } }) => id))
  t.equal(recent.size(), 50)
})
