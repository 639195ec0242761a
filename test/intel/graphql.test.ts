import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { buildSchema, graphql, type GraphQLObjectType } from 'graphql'
import t, { type Test } from 'tap'
import { baseSdl } from '../../src/schema/base.ts'
import { intelGraphql } from '../../src/intel/graphql.ts'
import plugin from '../../src/intel/plugin.ts'
import { intelCollections } from '../../src/intel/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { attackGroup, bundle, bytesOf, joinedFleets, keepingAudit } from './room.ts'

// The rooms together have subscriptions; this one alone has none, and a root must have a field.
const schema = buildSchema(baseSdl + intelGraphql.sdl + 'extend type Subscription { none: Int }')
const resolvers = intelGraphql.resolvers as Record<string, Record<string, (parent: unknown, args: unknown, context: unknown) => unknown>>

/** The room in a real Fastify, with the platform it asks for. */
async function openApp (t: Test): Promise<FastifyInstance> {
  const storage = await openTestStorage(t, intelCollections)
  const parts = { storage, audit: keepingAudit(), fleet: joinedFleets(1)[0]!, clock: createTestClock(), cache: {} }
  const app = Fastify()
  for (const [name, part] of Object.entries(parts)) await app.register(fp(async (scope) => { scope.decorate(name, part as never) }, { name }))
  app.decorate('caches', { forget: async () => {} } as never)
  await app.register(plugin)
  t.teardown(() => app.close())
  return app
}

async function ask (app: FastifyInstance, source: string): Promise<{ data?: Record<string, unknown> | null, errors?: ReadonlyArray<{ originalError?: unknown }> }> {
  return await graphql({
    schema,
    source,
    contextValue: { app, client: 'user:1', readsFrom () {}, mayBeOld () {} },
    fieldResolver (parent, args, context, info) {
      const own = resolvers[info.parentType.name]?.[info.fieldName]
      return own === undefined ? parent[info.fieldName] : own(parent, args, context)
    }
  })
}

t.test('counts, list, search and one actor are answered', async (t) => {
  const app = await openApp(t)
  await app.intel.importStream(bytesOf(bundle(attackGroup(7, 'APT28'), attackGroup(9, 'Ruby Crane', { description: 'A ransomware gang.' }))), { format: 'stix', actor: 'system' })
  const { data, errors } = await ask(app, `{
    threatCounts { category count }
    threatActors(search: "apt-28", first: 1) { totalCount nodes { id name references { name url } } pageInfo { hasNextPage } }
    ransom: threatActors(category: RANSOMWARE) { nodes { name category } }
    threatActor(id: "none") { id }
  }`)
  t.equal(errors, undefined)
  t.match(data, { threatActors: { totalCount: 1, nodes: [{ name: 'APT28', references: [{ name: 'MITRE ATT&CK' }] }], pageInfo: { hasNextPage: false } }, ransom: { nodes: [{ name: 'Ruby Crane' }] }, threatActor: null })
  t.equal((data!.threatCounts as unknown[]).length, 7)
  t.match(await ask(app, '{ threatActors(first: 101) { totalCount } }'), { errors: [{ originalError: { code: 'NEKO_ERR_INPUT_INVALID' } }] })
})

t.test('an actor is added, changed and removed, and what stands wrong is refused with its code', async (t) => {
  const app = await openApp(t)
  const added = await ask(app, 'mutation { addThreatActor(input: { name: "Wasp", techniques: ["T1059.001"], references: [{ url: "https://example.org" }] }) { id techniques { id name url } references { name url } sources } }')
  t.match(added, { data: { addThreatActor: { techniques: [{ id: 'T1059.001', name: null, url: 'https://attack.mitre.org/techniques/T1059/001' }], references: [{ name: null, url: 'https://example.org' }], sources: ['administrator'] } } })
  const { id } = added.data!.addThreatActor as { id: string }
  t.match(await ask(app, `mutation { updateThreatActor(id: "${id}", input: { country: "NL", category: INSIDER }) { country category } }`), { data: { updateThreatActor: { country: 'NL', category: 'INSIDER' } } })
  t.match(await ask(app, 'mutation { addThreatActor(input: { name: "wasp" }) { id } }'), { errors: [{ originalError: { code: 'NEKO_ERR_STORE_DUPLICATE' } }] })
  t.match(await ask(app, `mutation { removeThreatActor(id: "${id}") { name } }`), { data: { removeThreatActor: { name: 'Wasp' } } })
  t.match(await ask(app, `mutation { removeThreatActor(id: "${id}") { name } }`), { errors: [{ originalError: { code: 'NEKO_ERR_NOT_FOUND' } }] })
})

t.test('every root field says who may use it, changes need manage, and every field is described', async (t) => {
  for (const type of [schema.getQueryType()!, schema.getMutationType()!]) {
    for (const field of Object.values(type.getFields())) {
      const directives = field.astNode!.directives!.map(({ name, arguments: given }) => [name.value, ...given!.map(({ value }) => value.kind === 'StringValue' ? value.value : null)].join(' '))
      if (type === schema.getMutationType()) t.same(directives, ['auth manage'], field.name)
      else t.match(directives, ['public', /^cached /], field.name)
    }
  }
  for (const name of ['Query', 'Mutation', 'ThreatActor', 'Technique', 'Reference', 'ThreatCount', 'ThreatActorInput', 'ThreatActorPatch', 'ReferenceInput']) {
    for (const field of Object.values((schema.getType(name) as GraphQLObjectType).getFields())) t.ok(field.description, `${name}.${field.name}`)
  }
})
