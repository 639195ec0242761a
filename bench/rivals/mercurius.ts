/**
 * What does GraphQL alone cost? Fastify and mercurius with compiled queries and nothing else: what NEKO is built upon,
 * without NEKO.
 *
 *   node bench/rivals/mercurius.ts <file of the facts>
 */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { openActors, SDL } from './actors.ts'

const actors = openActors(process.argv[2] ?? '')
const app = Fastify()
await app.register(mercurius, {
  schema: SDL,
  resolvers: {
    Query: {
      threatCounts: () => actors.counts(),
      threatActors: (_parent, { first }: { first: number }) => actors.page(first)
    }
  },
  jit: 1
})
await app.listen({ port: 0, host: '127.0.0.1' })
console.log(`listening http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
