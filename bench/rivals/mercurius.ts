/**
 * What does GraphQL alone cost? Fastify and mercurius with compiled queries and nothing else: what NEKO is built upon,
 * without NEKO. With `headers` and `limits`, the plugins that a careful person would add, as they are shipped.
 *
 *   node bench/rivals/mercurius.ts <file of the facts> [headers] [limits]
 */
import type { AddressInfo } from 'node:net'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { openActors, SDL } from './actors.ts'

const [file = '', ...parts] = process.argv.slice(2)
const actors = openActors(file)
// Limits are those of the client whom the proxy names.
const app = Fastify(parts.includes('limits') ? { trustProxy: '127.0.0.1' } : {})
if (parts.includes('headers')) await app.register(helmet)
if (parts.includes('limits')) await app.register(rateLimit, { max: 100, timeWindow: '1 minute' })
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
