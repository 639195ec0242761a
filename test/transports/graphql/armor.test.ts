import t from 'tap'
import fc from 'fast-check'
import { getIntrospectionQuery, parse, validate } from 'graphql'
import { ARMOR, refuseDocument, refuseJsonSource } from '../../../src/schema/armor.ts'
import { rooms } from '../../../src/rooms.ts'
import { buildNekoSchema } from '../../../src/schema/build-schema.ts'
import { slack, threadMs } from '../../bar.ts'
import { scaled } from '../../scale.ts'

const DOCUMENTS = scaled(1_500, 10_000)

const schema = buildNekoSchema(rooms)

/** The code of the refusal, or null when the document may pass. */
function verdictOn (source: string): string | null {
  try {
    refuseDocument(parse(source, { maxTokens: ARMOR.tokens }))
    return null
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}

const nested = (depth: number): string => '{ a '.repeat(depth) + '}'.repeat(depth)
const times = (count: number, part: (i: number) => string): string => Array.from({ length: count }, (_, i) => part(i)).join(' ')

t.test('depth is counted through inline and named fragments', (t) => {
  t.equal(verdictOn(nested(8)), null)
  t.equal(verdictOn(nested(9)), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`{ a ... on A { b ${nested(7)} } }`.replace('b {', 'b {')), null)
  t.equal(verdictOn(`{ ... on Query { a { ... { b ${nested(7)} } } } }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`{ a { ...F } } fragment F on A { b ${nested(6)} }`), null)
  t.equal(verdictOn(`{ a { ...F } } fragment F on A { b ${nested(7)} }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`{ a { ...F } } fragment F on A { b { ...G } } fragment G on B ${nested(7)}`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.end()
})

t.test('aliases, root fields, directives and fields are counted where a fragment is spread, equal fields each', (t) => {
  t.equal(verdictOn(`{ a { ${times(30, (i) => `x${i}: b`)} } }`), null)
  t.equal(verdictOn(`{ a { ${times(31, (i) => `x${i}: b`)} } }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn(`{ a { ${times(31, () => 'x: b')} } }`), 'NEKO_ERR_QUERY_TOO_LARGE', 'equal fields count each')
  t.equal(verdictOn(`{ a { ...F } b { ...F } c { ...F } d { ...F } } fragment F on A { ${times(8, (i) => `x${i}: b`)} }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn(`{ ${times(10, () => 'a')} }`), null)
  t.equal(verdictOn(`{ ${times(11, () => 'a')} }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn('{ ...F ...F } fragment F on Query { a b c d e f }'), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn(`{ a ${'@x '.repeat(51)} }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn(`query ${'@x '.repeat(51)} { a }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn(`query ($v: Int ${'@x '.repeat(51)}) { a }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.equal(verdictOn(`{ a { ...F ...F } } fragment F on A { ...G ${'@x '.repeat(13)} ...G ${'@x '.repeat(13)} } fragment G on A { b }`), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.end()
})

t.test('fifty fragments that each spread the next twice are refused in linear time', (t) => {
  const source = `{ a { ...F0 } } ${times(50, (i) => `fragment F${i} on A { b { ...F${i + 1} } c { ...F${i + 1} } }`)} fragment F50 on A { d }`
  const flat = `{ a { ...F0 } } ${times(50, (i) => `fragment F${i} on A { ...F${i + 1} ...F${i + 1} }`)} fragment F50 on A { d }`
  const started = threadMs()
  t.equal(verdictOn(source), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(flat), 'NEKO_ERR_QUERY_TOO_LARGE')
  t.ok(threadMs() - started <= slack(50))
  t.end()
})

t.test('fragments in a circle, two operations, two fragments of one name and type definitions are refused', (t) => {
  for (const source of [
    '{ ...F } fragment F on Query { ...F }',
    '{ ...F } fragment F on Query { a { ...G } } fragment G on A { b { ...F } }',
    '{ a } fragment F on A { ...G } fragment G on A { ...F }',
    'query A { a } query B { b }',
    '{ ...F } fragment F on Query { a } fragment F on Query { b }',
    'fragment F on Query { a }',
    '{ a } type A { b: Int }',
    'extend schema @x'
  ]) t.equal(verdictOn(source), 'NEKO_ERR_INPUT_INVALID', source)
  t.end()
})

t.test('deep literals and keys that reach for the prototype are refused, in every place', (t) => {
  const list = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  t.equal(verdictOn(`{ a(x: ${list(16)}) }`), null)
  t.equal(verdictOn(`{ a(x: ${list(17)}) }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`{ a(x: ${list(450)}) }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`{ a(x: ${'{x:'.repeat(20)}1${'}'.repeat(20)}) }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`query ($v: [Int] = ${list(17)}) { a }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.equal(verdictOn(`{ a @x(y: ${list(17)}) }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  for (const key of ['__proto__', 'constructor', 'prototype']) {
    for (const source of [`{ a(x: { ${key}: 1 }) }`, `{ a(x: [{ y: { ${key}: 1 } }]) }`, `{ a(${key}: 1) }`, `{ ${key}: a }`, `{ a @x(${key}: 1) }`, `query ($v: I = { ${key}: 1 }) { a }`]) {
      t.equal(verdictOn(source), 'NEKO_ERR_KEY_FORBIDDEN', source)
    }
  }
  t.end()
})

t.test('the standard introspection query passes, with all its options', (t) => {
  t.equal(verdictOn(getIntrospectionQuery()), null)
  const whole = getIntrospectionQuery({ descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true })
  t.equal(verdictOn(whole), null)
  t.same(validate(schema, parse(whole)), [])
  t.equal(verdictOn(`{ __schema { types ${'{ ofType '.repeat(20)}${'}'.repeat(20)} } }`), 'NEKO_ERR_QUERY_TOO_DEEP')
  t.end()
})

t.test('a source that could be JSON is no document', (t) => {
  for (const source of ['{"kind":"Document","definitions":[]}', ' {\n "a":1}', '{}', '{ }', '[]', '"x"', '1', '-1', 'null', ' true', 'false ']) t.throws(() => refuseJsonSource(source), { code: 'NEKO_ERR_INPUT_INVALID' }, source)
  for (const source of ['{ a }', 'query { a }', '# { "a" }\n{ a }', 'nullable', '{a(x:"y")}', '{\n  health { status }\n}', '"""']) {
    if (source !== '"""') t.doesNotThrow(() => refuseJsonSource(source), source)
  }
  // What JSON.parse would take never gets past.
  fc.assert(fc.property(fc.json(), (json) => { t.throws(() => refuseJsonSource(json)) }), { numRuns: 300 })
  t.end()
})

/**
 * Documents of every shape, from a list of small numbers: each opens or closes a set, adds a field, a spread of a fragment
 * that exists or not, an alias, directives or a literal. Generating trees instead costs fast-check minutes.
 */
const NAMES = ['health', 'status', 'threatActors', 'nodes', 'edges', 'node', 'id', 'techniques', 'a', '__typename', '__schema', '__type', 'ofType', 'fields', 'constructor']
function documentFrom (steps: number[]): string {
  const parts = ['query ($v: Int) {']
  let open = 1
  let fragments = 0
  const name = (step: number): string => NAMES[step % NAMES.length] as string
  for (const step of steps) {
    const kind = step % 11
    const by = Math.floor(step / 11)
    if (kind < 3) { parts.push(`${name(by)} {`); open++ } else if (kind === 3) parts.push(name(by))
    else if (kind === 4) parts.push(`...F${by % 10}`)
    else if (kind === 5) parts.push(`x${by % 40}: ${name(by)}`)
    else if (kind === 6) parts.push(`id ${'@include(if: true) '.repeat(by % 20)}`)
    else if (kind === 7) parts.push(`threatActors(first: ${'['.repeat(by % 20)}${by % 3 === 0 ? '$v' : by}${']'.repeat(by % 20)}) {`) && open++
    else if (kind === 8) { parts.push('... on ThreatActor {'); open++ } else if (kind === 9 && open > 1) { parts.push('id }'); open-- } else if (kind === 10) {
      parts.push(`id ${'}'.repeat(open)} fragment F${fragments++} on Query {`)
      open = 1
    }
  }
  return parts.join(' ') + ` id ${'}'.repeat(open)}`
}

t.test(`${DOCUMENTS} documents: nothing crashes, nothing takes longer than 50 ms`, (t) => {
  let slowestMs = 0
  let passed = 0
  const run = (source: string): void => {
    const verdict = verdictOn(source)
    if (verdict !== null && !verdict.startsWith('NEKO_ERR_') && verdict !== 'GraphQLError') throw new Error(`${verdict} for ${source}`)
    if (verdict !== null) return
    passed++
    // What passes goes on to graphql-js, whose time counts too.
    validate(schema, parse(source), undefined, { maxErrors: 3 })
  }
  const timed = (source: string): number => {
    const started = threadMs()
    run(source)
    return threadMs() - started
  }
  timed(getIntrospectionQuery())
  const steps = fc.oneof(fc.array(fc.nat(2000), { maxLength: 40 }), fc.array(fc.nat(2000), { maxLength: 300 }), fc.array(fc.constantFrom(4, 15, 26, 10, 3, 14), { maxLength: 300 }))
  fc.assert(fc.property(steps, (list) => {
    const source = documentFrom(list)
    let ms = timed(source)
    // On a shared machine a pause is not the document's: it is slow when it is slow again.
    for (let i = 0; i < 3 && ms >= 10; i++) ms = Math.min(ms, timed(source))
    slowestMs = Math.max(slowestMs, ms)
  }), { numRuns: DOCUMENTS })
  t.comment(`slowest ${slowestMs.toFixed(1)} ms, ${passed} passed`)
  t.ok(passed > 0.03 * DOCUMENTS, 'both sides of the bounds were reached')
  t.ok(slowestMs <= slack(50))
  t.end()
})
