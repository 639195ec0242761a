import Fastify from 'fastify'
import t from 'tap'
import { boundPipelines } from '../../../src/std/pipelines.ts'
import handlerBudget from '../../../src/transports/http/handler-budget.ts'
import '../../../src/transaction/transaction.ts'
import { turns, until } from '../../time.ts'

t.test('a handler over its budget is answered 503 in the shape of its route; what it says later is dropped', async (t) => {
  const app = Fastify()
  app.decorate('pipelines', boundPipelines(app.server, { begunMax: 16, readMax: 128 }))
  t.teardown(() => app.close())
  await app.register(handlerBudget, { ms: 30 })
  const gates = { assesses: Promise.withResolvers<void>(), answers: Promise.withResolvers<void>(), fails: Promise.withResolvers<void>(), sends: Promise.withResolvers<void>() }
  app.get('/soon', async () => ({ soon: true }))
  app.get('/answers', async () => { await gates.answers.promise; return { late: true } })
  app.get('/fails', { config: { graphql: true } }, async () => { await gates.fails.promise; throw new Error('too late') })
  app.get('/sends', async (_request, reply) => { await gates.sends.promise; return await reply.code(200).header('x-late', '1').send('late') })
  app.get('/assess', { config: { bodyScope: 'assess' } }, async () => { await gates.assesses.promise; return { whole: true } })
  const code = 'NEKO_ERR_TIMEOUT'
  const message = 'This took too long'
  // Begun first, it is not bounded by the budget that ends the others.
  const assessed = app.inject('/assess')
  const answers: Array<Awaited<typeof assessed>> = []
  const others = ['/answers', '/fails', '/sends', '/soon'].map(async (url, i) => { answers[i] = await app.inject(url) })
  await until('the others are answered', () => Object.keys(answers).length === others.length)
  gates.assesses.resolve()
  answers.push(await assessed)
  t.same(answers.map(({ statusCode, body }) => [statusCode, JSON.parse(body)]), [
    [503, { error: { code, message } }],
    [503, { errors: [{ message, extensions: { code } }] }],
    [503, { error: { code, message } }],
    [200, { soon: true }],
    [200, { whole: true }]
  ])
  gates.answers.resolve()
  gates.fails.resolve()
  gates.sends.resolve()
  await turns()
  t.equal((await app.inject('/soon')).statusCode, 200, 'the server goes on')
})
