import * as fc from 'fast-check'
import t from 'tap'
import { asksOnlyToAssess } from '../../src/transaction/submitted-sample.ts'
import { NO_ROUTE, type Route, type Transaction } from '../../src/transaction/transaction.ts'

const GRAPHQL: Route = { ...NO_ROUTE, pattern: '/graphql', isGraphql: true }

interface Given { route?: Route, scopes?: readonly string[] | null, body?: string | null }

/** What the rule reads of a transaction; the bytes stand inside a larger buffer, as those of a pool do. */
function transaction ({ route = GRAPHQL, scopes = ['assess'], body = null }: Given): Transaction {
  const text = body === null ? null : Buffer.from(`junk${body}junk`)
  return {
    route,
    principal: scopes === null ? null : { scopes },
    body: text === null ? null : new Uint8Array(text.buffer, text.byteOffset + 4, text.byteLength - 8)
  } as unknown as Transaction
}

const asks = (query: unknown, more: Given = {}): boolean =>
  asksOnlyToAssess(transaction({ body: JSON.stringify({ query, variables: { requests: [] } }), ...more }))

const FIELD = 'assess(requests: $requests) { id score factors { name } }'

t.test('one operation of nothing but assess is what others sent', async (t) => {
  t.ok(asks(`mutation ($requests: [AssessRequest!]!) { ${FIELD} }`))
  t.ok(asks(`mutation Named($requests: [AssessRequest!]!) { ${FIELD} }`))
  t.ok(asks(`mutation ($requests: [AssessRequest!]!) { one: ${FIELD} two: ${FIELD} }`), 'aliases change nothing')
  t.ok(asks('mutation ($r: [AssessRequest!]!) { assess(requests: $r) @skip(if: false) { id } }'))
})

t.test('an alias that is called assess is no assess', async (t) => {
  t.notOk(asks('mutation { assess: addDecision(value: "x") { id } }'))
  t.notOk(asks('{ assess: threatActors { totalCount } }'))
})

t.test('a fragment hides what it asks for, wherever it stands', async (t) => {
  const query = `mutation { ...F } fragment F on Mutation { ${FIELD} }`
  t.notOk(asks(query))
  t.notOk(asks(`mutation { ${FIELD} } fragment F on Mutation { logout }`), 'unused ones too')
  t.notOk(asks(`mutation { ... on Mutation { ${FIELD} } }`))
  t.notOk(asks(`mutation { ... { ${FIELD} } ${FIELD} }`))
})

t.test('several operations are more than one, though each asks for assess', async (t) => {
  t.notOk(asks(`mutation A { ${FIELD} } mutation B { ${FIELD} }`))
  t.notOk(asks(`mutation A { ${FIELD} } query B { health { status } }`))
})

t.test('a field beside assess makes the whole document the caller\'s own', async (t) => {
  t.notOk(asks(`mutation { ${FIELD} logout }`))
  t.notOk(asks(`mutation { logout ${FIELD} }`))
  t.notOk(asks(`mutation { a: logout ${FIELD} }`))
})

t.test('only a caller who may hand in samples does', async (t) => {
  const query = `mutation { ${FIELD} }`
  t.notOk(asks(query, { scopes: null }), 'anonymous')
  for (const scopes of [[], ['read'], ['read', 'decide', 'manage']]) t.notOk(asks(query, { scopes }), scopes.join())
  t.ok(asks(query, { scopes: ['read', 'assess'] }))
})

t.test('only where GraphQL is answered', async (t) => {
  const query = `mutation { ${FIELD} }`
  t.notOk(asks(query, { route: NO_ROUTE }))
  t.notOk(asks(query, { route: { ...GRAPHQL, isGraphql: false, pattern: '/v1/assess' } }))
  t.notOk(asks(query, { route: { ...GRAPHQL, pattern: null } }), 'a method that no route of /graphql takes')
})

t.test('what is no document of one is the caller\'s own', async (t) => {
  const bodies = [null, '', 'assess', '{"query":"assess"', '[]', 'null', '{"query":null,"a":"assess"}', '"assess"']
  for (const body of bodies) {
    t.notOk(asksOnlyToAssess(transaction({ body })), String(body))
  }
  for (const query of [5, ['assess'], { assess: 1 }, '', '{', 'assess', `mutation { ${FIELD}`]) {
    t.notOk(asks(query), String(query))
  }
  t.notOk(asks(`mutation { ${'a: assess(requests: []) { id } '.repeat(200)} }`), 'beyond the bound of tokens')
  t.notOk(asksOnlyToAssess(transaction({ body: JSON.stringify([{ query: `mutation { ${FIELD} }` }]) })), 'a batch')
})

/** A document by its parts, and whether it asks for assess alone. */
interface Part { text: string, isAssess: boolean }
const alias = fc.constantFrom('', 'a: ', 'assess: ', 'other: ')
const isAssess = true
const selection: fc.Arbitrary<Part> = fc.oneof(
  { weight: 4, arbitrary: alias.map((name) => ({ text: `${name}${FIELD}`, isAssess })) },
  alias.map((name) => ({ text: `${name}logout`, isAssess: false })),
  alias.map((name) => ({ text: `${name}assessment(id: "1") { id }`, isAssess: false })),
  fc.constant({ text: '...F', isAssess: false }),
  fc.constant({ text: `... on Mutation { ${FIELD} }`, isAssess: false })
)
const operation: fc.Arbitrary<Part> = fc.record({
  head: fc.constantFrom('mutation', 'mutation M', 'query', 'subscription S', 'mutation ($requests: [AssessRequest!]!)'),
  parts: fc.array(selection, { minLength: 1, maxLength: 4 })
}).map(({ head, parts }) => ({
  text: `${head} { ${parts.map(({ text }) => text).join(' ')} }`,
  isAssess: parts.every((part) => part.isAssess)
}))
const fragment: fc.Arbitrary<Part> = fc.constant({ text: `fragment F on Mutation { ${FIELD} }`, isAssess: false })

t.test('of generated documents those pass that are one operation of assess fields alone', async (t) => {
  let passed = 0
  const definitions = fc.oneof(
    { weight: 3, arbitrary: operation.map((one) => [one]) },
    fc.array(fc.oneof(operation, fragment), { minLength: 1, maxLength: 3 })
  )
  fc.assert(fc.property(definitions, (parts) => {
    const expected = parts.length === 1 && parts[0]!.isAssess
    if (expected) passed++
    return asks(parts.map(({ text }) => text).join('\n')) === expected
  }), { numRuns: 500, seed: 9 })
  t.ok(passed > 50 && passed < 450, `${passed} of 500 ask for assess alone`)
})

t.test('no body makes it throw', async (t) => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.string(), (text) =>
    !asksOnlyToAssess(transaction({ body: `${text}assess` })) && !asks(`${text} assess }`)
  ), { numRuns: 200, seed: 9 }))
})
