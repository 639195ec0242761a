import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import userVerbs from '../../src/processes/user-verbs.ts'
import type { Json } from '../../src/std/json.ts'

t.test('unlocking a user forgets tries and limits everywhere and removes what stands against the user, allows excepted', async (t) => {
  const done: unknown[] = []
  const handlers = new Map<string, (args: Json) => Promise<Json>>()
  const decisions = [{ id: 'de_1', action: 'BLOCK' }, { id: 'de_2', action: 'ALLOW' }, { id: 'de_3', action: 'CHALLENGE' }]
  const app = Fastify()
  t.teardown(() => app.close())
  const parts: Record<string, object> = {
    control: { handle: (verb: string, handler: (args: Json) => Promise<Json>) => handlers.set(verb, handler) },
    identity: { personOf: async (username: string) => ({ id: 'us_1', username, disabled: true }), accountOf: async () => 'account:abc' },
    decisions: { list: async (filter: object) => { t.match(filter, { scope: 'USER', value: 'us_1' }); return { items: decisions } }, remove: async (id: string, actor: string) => { done.push(['remove', id, actor]) } },
    limits: { forget: (client: string) => done.push(['limits', client]) },
    clients: { forget: (client: string) => done.push(['clients', client]) },
    audit: { durable: async ({ type, actor, target, details }: { type: string, actor: string, target: string, details: object }) => { done.push([type, actor, target, details]) } }
  }
  for (const [name, part] of Object.entries(parts)) app.decorate(name, part)
  for (const name of ['processes', 'identity', 'decisions', 'limits', 'clients', 'audit']) app.register(fp(async () => {}, { name }))
  app.register(userVerbs)
  await app.ready()
  t.match(await handlers.get('users unlock')!({ name: 'zoe' }), { text: /unlocked: zoe[^]*disabled/, username: 'zoe', decisions: ['de_1', 'de_3'] })
  t.same(done, [
    ['user.unlock', 'system', 'user:us_1', { origin: 'cli', decisions: 2 }],
    ['remove', 'de_1', 'system'], ['remove', 'de_3', 'system'],
    ['limits', 'user:us_1'], ['limits', 'account:abc'], ['clients', 'user:us_1']
  ])
  for (const args of [null, {}, { name: '' }, { name: 5 }, 'zoe', []] as Json[]) for (const verb of handlers.keys()) await t.rejects(handlers.get(verb)!(args), { code: 'NEKO_ERR_INPUT_INVALID' })
})
