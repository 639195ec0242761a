import { EventEmitter, once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { readBody } from '../../../src/transports/http/body.ts'
import { POOLED_BYTES_MIN, createBodyPool } from '../../../src/transports/http/body-pool.ts'
import type { IncomingMessage } from 'node:http'
import { until } from '../../processes/load.ts'
import { openApp, replace } from '../../transaction/app.ts'

t.test('memory is lent to one at a time, and only for large bodies', async (t) => {
  const pool = createBodyPool()
  for (const bytes of [0, POOLED_BYTES_MIN - 1, 65_537, NaN, -1]) t.equal(pool.take(bytes), null)
  const first = pool.take(20_000)!
  const second = pool.take(65_536)!
  t.equal(second.length, 65_536)
  t.not(first.buffer, second.buffer)
  pool.give(first.subarray(0, 20_000))
  pool.give(first)
  pool.give(null)
  pool.give(Buffer.alloc(65_536))
  const third = pool.take(30_000)!
  const fourth = pool.take(30_000)!
  t.equal(third.buffer, first.buffer, 'used again')
  t.not(fourth.buffer, first.buffer, 'but not by two')
})

t.test('what is read into lent memory is what came, no more', async (t) => {
  const pieces = [Buffer.alloc(20_000, 1), Buffer.alloc(10_000, 2)]
  for (const room of [null, Buffer.alloc(65_536, 9)]) {
    for (const [limit, length, end] of [[65_536, 30_000, 'whole'], [25_000, 25_000, 'over']] as const) {
      const raw = new EventEmitter()
      let unread = 0
      const onUnread = (): void => { unread++ }
      const bounds = { limitBytes: limit, timeoutMs: 1_000, room, onUnread }
      const { promise: reading, resolve } = Promise.withResolvers<{ bytes: Buffer, end: string }>()
      readBody(raw as unknown as IncomingMessage, bounds, resolve)
      for (const piece of pieces) raw.emit('data', piece)
      raw.emit('end')
      const read = await reading
      t.equal(read.end, end)
      t.equal(unread, end === 'over' ? 1 : 0)
      t.equal(read.bytes.length, length)
      t.same([read.bytes[19_999], read.bytes[20_000], read.bytes[length - 1]], [1, 2, 2])
    }
  }
})

/** How the reading of so many pieces of so many bytes ends, and after how many. */
async function readPieces (count: number, bytes: number): Promise<[string, number]> {
  const raw = new EventEmitter()
  let sent = 0
  const onUnread = (): void => {}
  const bounds = { limitBytes: 65_536, timeoutMs: 1_000, room: null, onUnread }
  const { promise: reading, resolve } = Promise.withResolvers<{ bytes: Buffer, end: string }>()
  readBody(raw as unknown as IncomingMessage, bounds, resolve)
  const piece = Buffer.alloc(bytes)
  while (sent < count && raw.emit('data', piece)) sent++
  raw.emit('end')
  return [(await reading).end, sent]
}

t.test('a bomb of tiny chunks ends after a thousand of them, and what a client may stream is read whole', async (t) => {
  for (let bytes = 1; bytes <= 20; bytes++) {
    t.same(await readPieces(1_000, bytes), ['whole', 1_000], `tokens of ${bytes} bytes`)
  }
  for (const bytes of [64, 100, 512]) {
    const count = Math.floor(65_536 / bytes)
    t.same(await readPieces(count, bytes), ['whole', count], `all of a body in chunks of ${bytes} bytes`)
  }
  for (const [bytes, most] of [[1, 1_042], [5, 1_113], [32, 2_049]] as const) {
    const [end, sent] = await readPieces(20_000, bytes)
    t.equal(end, 'over')
    t.ok(sent <= most, `${sent} chunks of ${bytes} bytes`)
  }
})

t.test('JSON that a client writes token by token is answered', async (t) => {
  const server = await openApp(t, { LOG_LEVEL: 'error' })
  const variables = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`field${i}`, i]))
  const tokens = JSON.stringify({ query: '{ health { status } }', variables }).split(/(?<=[,:{}])/)
  t.ok(tokens.length > 400)
  const sent = request(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' } })
  for (const token of tokens) sent.write(token)
  sent.end()
  const [reply] = await once(sent, 'response') as [IncomingMessage]
  t.equal(reply.statusCode, 200)
  t.match(await text(reply), /"status"/)
})

t.test('large bodies of many at once are not mixed up', async (t) => {
  const server = await openApp(t, { RATE_LIMIT_STANDARD: '9999999/60/0', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100', LOG_LEVEL: 'error' })
  const ask = async (i: number): Promise<void> => {
    const bytes = POOLED_BYTES_MIN + (i * 977) % 40_000
    // Parsed by the server: a body with another's bytes in it would not be JSON, or would name another field.
    const body = JSON.stringify({ query: `{ field${i} }`, variables: { note: String(i % 10).repeat(bytes) } })
    const reply = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const answer = await reply.text()
    if (!answer.includes(`field${i}`)) t.fail(`request ${i} was answered ${reply.status} ${answer.slice(0, 200)}`)
  }
  // As many as the budget of query cost allows.
  for (let i = 0; i < 24; i += 12) await Promise.all(Array.from({ length: 12 }, (_, j) => ask(i + j)))
  t.pass()
})

t.test('the memory of a large body comes back, answered or refused', async (t) => {
  const { app, url } = await openApp(t, { LOG_LEVEL: 'error' })
  const { take, give } = app.bodies
  const lent = new Set<ArrayBufferLike>()
  replace(t, app.bodies, 'take', (bytes) => {
    const room = take(bytes)
    if (room !== null) lent.add(room.buffer)
    return room
  })
  replace(t, app.bodies, 'give', (body) => {
    if (body !== null) lent.delete(body.buffer)
    give(body)
  })
  const fill = 'a word '.repeat(3_000)
  for (const [status, variables] of [[200, { note: fill }], [403, { note: `${fill} 1' UNION SELECT password FROM users--` }]] as const) {
    const body = JSON.stringify({ query: '{ health { status } }', variables })
    const reply = await fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    await reply.text()
    t.equal(reply.status, status)
    await until(`the memory of the ${status} is back`, () => lent.size === 0)
  }
})
