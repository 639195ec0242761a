import Fastify from 'fastify'
import t from 'tap'
import { boundPipelines } from '../../../src/std/pipelines.ts'
import handlerBudget from '../../../src/transports/http/handler-budget.ts'
import '../../../src/transaction/transaction.ts'

t.test('a handler over its budget is answered 503 in the shape of its route; what it says later is dropped', async (t) => {
  const app = Fastify()
  app.decorate('pipelines', boundPipelines(app.server, { begunMax: 16, readMax: 128 }))
  t.teardown(() => app.close())
  await app.register(handlerBudget, { ms: 30 })
  const gates = { answers: Promise.withResolvers<void>(), fails: Promise.withResolvers<void>(), sends: Promise.withResolvers<void>() }
  app.get('/answers', async () => { await gates.answers.promise; return { late: true } })
  app.get('/fails', { config: { graphql: true } }, async () => { await gates.fails.promise; throw new Error('too late') })
  app.get('/sends', async (_request, reply) => { await gates.sends.promise; return await reply.code(200).header('x-late', '1').send('late') })
  app.get('/assess', { config: { bodyScope: 'assess' } }, async () => { await new Promise((resolve) => setTimeout(resolve, 80)); return { whole: true } })
  app.get('/soon', async () => ({ soon: true }))
  const code = 'NEKO_ERR_TIMEOUT'
  const message = 'This took too long'
  const answers = await Promise.all(['/answers', '/fails', '/sends', '/assess', '/soon'].map(async (url) => await app.inject(url)))
  t.same(answers.map(({ statusCode, body }) => [statusCode, JSON.parse(body)]), [
    [503, { error: { code, message } }],
    [503, { errors: [{ message, extensions: { code } }] }],
    [503, { error: { code, message } }],
    [200, { whole: true }],
    [200, { soon: true }]
  ])
  gates.answers.resolve()
  gates.fails.resolve()
  gates.sends.resolve()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal((await app.inject('/soon')).statusCode, 200, 'the server goes on')
})
