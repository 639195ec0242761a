import { buildSchema } from 'graphql'
import t from 'tap'
import { createPolicyReader } from '../../src/schema/answer-policy.ts'
import { baseSdl } from '../../src/schema/base.ts'
import { buildNekoSchema } from '../../src/schema/build-schema.ts'
import { rooms } from '../../src/rooms.ts'

/** How long an answer may be kept, and for whom, by its document alone. */
const SECONDS = { STANDARD: 300, SHORT: 60, MEDIUM: 200, LONG: 600, STATS: 10, STATIC: 3600 }
const schema = buildSchema(`${baseSdl}
  extend type Query {
    standard(a: Int): Int @cached(time: STANDARD)
    long: Int @cached(time: LONG)
    stats: Int @cached(time: STATS)
    own: Int @cached(time: SHORT, shared: false)
    bare: Int
  }
  extend type Mutation { standard: Int @cached(time: STANDARD) }
  extend type Subscription { standard: Int @cached(time: STANDARD) }`)
const reader = (over: Partial<typeof SECONDS> = {}, dedupeSeconds = 0): ReturnType<typeof createPolicyReader> =>
  createPolicyReader(schema, { ...SECONDS, ...over }, dedupeSeconds)

t.test('the shortest of the root fields counts, and one that is a caller\'s own makes the answer one', (t) => {
  const policyOf = reader()
  const shared = (seconds: number): object => ({ freshForMs: seconds * 1000, isShared: true })
  const found: Array<[string, object | null]> = [
    ['{ standard }', shared(300)],
    ['query ($a: Int) { standard(a: $a) long }', shared(300)],
    ['{ long standard stats }', shared(10)],
    ['{ long own }', { freshForMs: 60_000, isShared: false }],
    ['{ other: stats again: long }', shared(10)],
    ['{ ...A } fragment A on Query { long ...B } fragment B on Query { ... { stats } }', shared(10)],
    ['{ ...A ...A long } fragment A on Query { standard }', shared(300)],
    ['{ ... on Query @include(if: false) { stats } long }', shared(10)],
    ['{ __typename }', shared(3600)],
    ['{ __schema { types { name } } standard }', shared(300)],
    ['query A { long } fragment Unused on Query { bare }', shared(600)]
  ]
  for (const [document, expected] of found) t.same(policyOf(document, false), expected, document)
  t.end()
})

t.test('what is no single query of fields with a policy is not kept', (t) => {
  const policyOf = reader()
  for (const document of [
    '{ bare }',
    '{ standard bare }',
    '{ standard unknown }',
    '{ standard ...A } fragment A on Query { bare }',
    '{ ...A } fragment A on Query { ...A standard bare }',
    'mutation { standard }',
    'subscription { standard }',
    'query A { standard } query B { standard }',
    'query A { standard } mutation B { standard }',
    'fragment A on Query { standard }',
    '{ ...A } fragment A on Query { ...A }',
    '{ standard',
    '',
    'standard',
    '# standard\n{ bare }',
    '{ bare(a: "standard") }',
    '{ constructor }',
    '{ __proto__ standard }',
    '{ toString standard }'
  ]) t.equal(policyOf(document, true), null, document)
  t.equal(policyOf(`{ standard }${' '.repeat(8 * 1024)}`, false), null, 'longer documents are not looked at')
  t.end()
})

t.test('a time of 0 keeps nothing, also beside fields that are kept', (t) => {
  const policyOf = reader({ STANDARD: 0 })
  t.equal(policyOf('{ standard }', false), null)
  t.equal(policyOf('{ standard long }', false), null)
  t.same(policyOf('{ long }', false), { freshForMs: 600_000, isShared: true })
  t.end()
})

t.test('any query of an anonymous caller may be held for a moment where that is asked for, and for that caller alone', (t) => {
  const policyOf = reader({}, 5)
  const held = { freshForMs: 5_000, isShared: false }
  t.same(policyOf('{ bare }', true), held)
  t.equal(policyOf('{ bare }', false), null, 'not one of a signed-in caller, whoever asked before')
  t.same(policyOf('{ bare }', true), held)
  t.same(policyOf('{ standard }', true), { freshForMs: 300_000, isShared: true })
  for (const document of ['mutation { standard }', 'query A { bare } query B { bare }', '{ bare', 'subscription { bare }']) {
    t.equal(policyOf(document, true), null, document)
  }
  t.end()
})

t.test('of a thousand documents each has its own policy, also after it was forgotten', (t) => {
  const policyOf = reader()
  const document = (i: number): string => i % 2 === 0 ? `{ a${i}: standard }` : `{ a${i}: stats }`
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 1000; i++) if (policyOf(document(i), false)?.freshForMs !== (i % 2 === 0 ? 300_000 : 10_000)) t.fail(document(i))
  }
  t.end()
})

t.test('our own fields: what belongs to a caller is never shared, what changes is never kept', (t) => {
  const policyOf = createPolicyReader(buildNekoSchema(rooms), SECONDS, 0)
  t.match(policyOf('{ me { username } }', false), { freshForMs: 60_000, isShared: false })
  t.match(policyOf('{ me { username } threatCounts { count } }', false), { freshForMs: 60_000, isShared: false })
  t.match(policyOf('{ threatCounts { count } }', true), { freshForMs: 300_000, isShared: true })
  t.match(policyOf('{ threatActors { totalCount } }', true), { freshForMs: 600_000, isShared: true })
  t.match(policyOf('{ threatActor(id: "x") { id } }', true), { freshForMs: 600_000, isShared: true })
  t.match(policyOf('{ stats { requests } }', true), { freshForMs: 10_000, isShared: true })
  t.match(policyOf('{ playbooks { name } }', false), { freshForMs: 200_000, isShared: true })
  for (const field of ['health { status }', 'rateLimit { remaining }', 'decisions { totalCount }', 'incidents { totalCount }', 'users { totalCount }', 'apiKeys { totalCount }', 'threats { totalCount }', 'auditEvents { totalCount }', 'cacheStats { name }', 'breakers { name }', 'cluster { slot }', 'allowances { totalCount }', 'adminUsers']) {
    t.equal(policyOf(`{ ${field} }`, false), null, field)
    t.equal(policyOf(`{ ${field} threatCounts { count } }`, false), null, field)
  }
  t.end()
})
