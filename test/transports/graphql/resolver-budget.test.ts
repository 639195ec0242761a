import t from 'tap'
import { buildSchema, graphql, GraphQLError, subscribe, parse } from 'graphql'
import { boundResolvers } from '../../../src/schema/resolver-budget.ts'
import { statusOfErrors } from '../../../src/schema/errors.ts'
import { withDeadline } from '../../../src/std/deadline.ts'
import { turns } from '../../time.ts'

const schema = (): ReturnType<typeof buildSchema> => buildSchema('type Query { now: Int late: Int failsLate: Int nested: Nested } type Nested { late: Int } type Mutation { assess: Int late: Int } type Subscription { tick: Int }')

t.test('a resolver that takes too long is a typed 503, and what it says later is nobody\'s', async (t) => {
  const bound = schema()
  const late = Promise.withResolvers<number>()
  const failsLate = Promise.withResolvers<number>()
  const query = bound.getQueryType()!.getFields()
  query.now!.resolve = () => 1
  query.late!.resolve = () => late.promise
  query.failsLate!.resolve = () => failsLate.promise
  query.nested!.resolve = () => ({})
  const nested = bound.getType('Nested') as ReturnType<typeof bound.getQueryType>
  nested!.getFields().late!.resolve = () => late.promise
  boundResolvers(bound, 20)
  const { data, errors = [] } = await graphql({ schema: bound, source: '{ now late failsLate nested { late } }' })
  t.same(JSON.parse(JSON.stringify(data)), { now: 1, late: null, failsLate: null, nested: { late: null } })
  t.same(errors.map(({ originalError }) => (originalError as unknown as { code: string }).code), new Array(3).fill('NEKO_ERR_TIMEOUT'))
  t.equal(statusOfErrors(errors, { late: null }), 503)
  t.ok(errors[0] instanceof GraphQLError)
  // A rejection that nobody waits for any more must not end the process.
  failsLate.reject(new Error('too late'))
  late.resolve(1)
  await new Promise((resolve) => setImmediate(resolve))
})

t.test('subscriptions and assess are not bounded by it', async (t) => {
  const bound = schema()
  const BUDGET_MS = 20
  /** Longer than the budget: as long as another one that begins later. */
  const soon = async (): Promise<number> => {
    await turns(1)
    return await withDeadline(Promise.withResolvers<never>().promise, BUDGET_MS, () => new Error('late')).catch(() => 7)
  }
  const mutation = bound.getMutationType()!.getFields()
  mutation.assess!.resolve = soon
  mutation.late!.resolve = soon
  bound.getSubscriptionType()!.getFields().tick!.subscribe = async function * () { yield { tick: await soon() } }
  boundResolvers(bound, BUDGET_MS)
  const { data } = await graphql({ schema: bound, source: 'mutation { assess late }' })
  t.same(JSON.parse(JSON.stringify(data)), { assess: 7, late: null })
  const stream = await subscribe({ schema: bound, document: parse('subscription { tick }') }) as AsyncGenerator<{ data: { tick: number } }>
  t.equal((await stream.next()).value.data.tick, 7)
})
