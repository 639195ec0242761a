/**
 * What does the ground cost that every server here stands on? `node:http` and bare Fastify, each with one fixed answer
 * to POST /graphql; Fastify parses the JSON body, as it would have to.
 *
 *   node bench/baseline.ts http|fastify <file of the answer>
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'

const [name, file = ''] = process.argv.slice(2)
const answer = readFileSync(file, 'utf8')
const TYPE = 'application/json; charset=utf-8'

console.log(`listening http://127.0.0.1:${name === 'http' ? await plain() : await fastify()}`)

async function plain (): Promise<number> {
  const server = createServer((request, response) => {
    request.on('data', () => {})
    request.on('end', () => {
      response.writeHead(200, { 'content-type': TYPE, 'content-length': Buffer.byteLength(answer) }).end(answer)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return (server.address() as AddressInfo).port
}

async function fastify (): Promise<number> {
  const app = Fastify()
  app.post('/graphql', (_request, reply) => { reply.type(TYPE).send(answer) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}
