import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { boundPipelines, type Pipelines } from '../../src/std/pipelines.ts'
import { until } from '../processes/load.ts'
import { sendRaw } from '../raw-socket.ts'
import { scaled } from '../scale.ts'
import type { Teardown } from '../server.ts'

const get = (path: string | number): string => `GET /${path} HTTP/1.1\r\nHost: n\r\n\r\n`
const many = (count: number): string => Array.from({ length: count }, (_, i) => get(i)).join('')
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const pathsOf = (text: string): number[] => [...text.matchAll(/at \/(\d+)/g)].map(([, path]) => Number(path))

/** Ends a test that would hang. */
const HANGS_MS = 20_000

interface Bounded { port: number, pipelines: Pipelines, seen: string[] }

async function serve (t: Teardown, handle: RequestListener, readMax = 128): Promise<Bounded> {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(request.url as string)
    handle(request, response)
  })
  const pipelines = boundPipelines(server, { begunMax: 16, readMax })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, pipelines, seen }
}

const answer: RequestListener = ({ url }, response) => { response.end(`at ${url} `) }

t.test('as many as load tools pipeline are answered, in order, and the connection stays', async (t) => {
  const { port } = await serve(t, answer)
  for (const count of [10, 100]) {
    const { text, closed } = await sendRaw(port, [many(count)], HANGS_MS, (text) => pathsOf(text).length >= count)
    t.same(pathsOf(text), range(count))
    t.equal(closed, false)
  }
})

t.test('of one connection few are under way at the same time', async (t) => {
  let underWay = 0
  let most = 0
  const { port } = await serve(t, (request, response) => {
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      answer(request, response)
    }, 1)
  })
  const { text } = await sendRaw(port, [many(100)], HANGS_MS, (text) => pathsOf(text).length >= 100)
  t.same(pathsOf(text), range(100))
  t.equal(most, 16)
})

t.test('a connection that holds more is closed after the answer to the last request that was read', async (t) => {
  const { port, seen } = await serve(t, answer)
  const { text, closed } = await sendRaw(port, [many(1000)])
  t.same(pathsOf(text), range(128))
  t.equal(closed, true)
  t.same([...text.matchAll(/^connection: close/gim)].length, 1)
  t.equal(seen.length, 128)
})

t.test('others are served in between, also where bodies end within one read', async (t) => {
  const { port } = await serve(t, answer)
  const withBody = 'GET /1 HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nx'
  for (const pipeline of [many(1000), withBody.repeat(1000)]) {
    const victim = connect(port, '127.0.0.1')
    await once(victim, 'connect')
    const attackers = await Promise.all(range(40).map(async () => {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      await once(socket, 'connect')
      return socket
    }))
    let answers = 0
    for (const socket of attackers) {
      socket.on('data', (chunk: Buffer) => { answers += chunk.toString('latin1').split('HTTP/1.1 200').length - 1 })
    }
    await Promise.all(attackers.map(async (socket) => await new Promise((resolve) => socket.write(pipeline, resolve))))
    victim.write(get('victim'))
    await once(victim, 'data')
    const before = answers
    await Promise.all(attackers.map(async (socket) => await once(socket, 'close')))
    // Answers that leave while a read is parsed make room.
    t.ok(answers >= 40 * 128 && answers < 40 * 200, `${answers} answers`)
    t.ok(before < answers / 2, `${before} of ${answers} answers to others came first`)
    victim.destroy()
  }
})

t.test('behind a refused request nothing is begun, and its answer comes whole as the last one', async (t) => {
  const text = 'no'.repeat(500)
  // In the midst of the parser's work, and later.
  for (const isLate of [false, true]) {
    const { port, pipelines, seen } = await serve(t, (request, response) => {
      const refuse = (): void => {
        if (pipelines.endsWith(request)) response.setHeader('connection', 'close')
        response.end(text)
      }
      if (isLate) setTimeout(refuse, 1)
      else {
        pipelines.holdBehind(request)
        process.nextTick(refuse)
      }
    })
    const received = await sendRaw(port, [many(1000), many(1000)])
    t.same([received.closed, received.statuses], [true, [200]])
    t.match(received.text, /^connection: close/im)
    t.ok(received.text.endsWith(text))
    t.equal(seen.length, isLate ? 16 : 1)
  }
})

t.test('a client that reads a refusal before it asks again keeps its connection', async (t) => {
  const { port, pipelines, seen } = await serve(t, (request, response) => {
    pipelines.holdBehind(request)
    process.nextTick(() => response.end(String(pipelines.endsWith(request))))
  })
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  for (let i = 0; i < 3; i++) {
    socket.write(get(i))
    const [chunk] = await once(socket, 'data') as [Buffer]
    t.match(chunk.toString(), /false$/)
  }
  t.equal(seen.length, 3)
})

t.test('whatever is sent in whatever pieces, each request is answered in its order or its connection closed', async (t) => {
  const { port, pipelines }: Bounded = await serve(t, (request, response) => {
    const { url = '' } = request
    const refuse = (): void => {
      if (pipelines.endsWith(request)) response.setHeader('connection', 'close')
      answer(request, response)
    }
    if (url.startsWith('/1')) setTimeout(answer, 8, request, response)
    else if (url.startsWith('/2')) {
      pipelines.holdBehind(request)
      process.nextTick(refuse)
    } else if (url.startsWith('/3')) setTimeout(refuse, 4)
    else answer(request, response)
  })
  // Kinds: 0 at once, 1 slow, 2 refused in the midst, 3 refused later. Then a pause, or none: the same piece.
  const sent = fc.array(fc.record({ kind: fc.constantFrom(0, 1, 1, 2, 2, 3), pauseMs: fc.constantFrom(null, null, 0, 1, 4, 10) }), { minLength: 2, maxLength: 8 })
  await fc.assert(fc.asyncProperty(sent, async (requests) => {
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    let [text, isClosed] = ['', false]
    socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1') })
    socket.on('error', () => {}).on('close', () => { isClosed = true })
    let piece = ''
    for (const [i, { kind, pauseMs }] of requests.entries()) {
      piece += get(kind * 10 + i)
      if (pauseMs === null && i < requests.length - 1) continue
      socket.write(piece)
      piece = ''
      await new Promise((resolve) => setTimeout(resolve, pauseMs ?? 0))
    }
    try {
      await until('answered or closed', () => isClosed || pathsOf(text).length === requests.length, HANGS_MS)
    } finally {
      socket.destroy()
    }
    const asked = requests.map(({ kind }, i) => kind * 10 + i)
    const answered = pathsOf(text)
    t.same(answered, asked.slice(0, answered.length))
    if (isClosed && answered.length < asked.length) t.match(text, /^connection: close/im, 'what is not answered was said to be over')
  }), { numRuns: scaled(150, 3_000) })
})

t.test('of a body that is given up no further chunk arrives, and later connections have theirs', async (t) => {
  const pieces: number[] = []
  const ends: Array<Promise<unknown>> = []
  const { port, pipelines, seen } = await serve(t, (request, response) => {
    let count = 0
    pieces.push(0)
    request.on('data', () => {
      pieces[pieces.length - 1] = ++count
      if (count < 10) return
      pipelines.endAt(request)
      ends.push(once(request.socket, 'close'))
      response.setHeader('connection', 'close')
      setTimeout(() => response.end('enough'), 5)
    }).on('end', () => response.end('whole'))
  })
  const head = 'POST / HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (let i = 0; i < 3; i++) {
    const bomb = await sendRaw(port, [head + '1\r\n \r\n'.repeat(5000), '1\r\n \r\n'.repeat(5000)])
    t.same([bomb.statuses, bomb.closed], [[200], true])
    await Promise.all(ends)
    const ordinary = await sendRaw(port, [`${head}5\r\nhello\r\n0\r\n\r\n`], HANGS_MS, (text) => text.includes('whole'))
    t.match(ordinary.text, /whole/)
  }
  t.same(pieces, [10, 1, 10, 1, 10, 1])
  t.equal(seen.length, 6)
})

t.test('a connection that always has some that wait is closed for what waits, not for what it sent in its life', async (t) => {
  const { port, seen } = await serve(t, (request, response) => {
    request.resume().on('end', () => { setTimeout(answer, 1, request, response) })
  })
  const body = 'x'.repeat(20_000)
  const post = (path: number): string => `POST /${path} HTTP/1.1\r\nHost: n\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let sent = 0
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    for (const answered = pathsOf(text).length; sent < 200 && sent - answered < 40;) socket.write(post(sent++))
  })
  while (sent < 40) socket.write(post(sent++))
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
    socket.on('data', () => { if (pathsOf(text).length === 200) resolve() })
  })
  t.same(pathsOf(text), range(200), `4 MB, ${seen.length} begun`)
})

t.test('whoever leaves leaves nothing under way', async (t) => {
  const open = new Set<IncomingMessage>()
  const { port, seen } = await serve(t, (request, response) => {
    open.add(request)
    response.once('close', () => open.delete(request))
  })
  const socket: Socket = connect(port, '127.0.0.1')
  socket.write(many(50))
  while (seen.length < 16) await new Promise((resolve) => setImmediate(resolve))
  t.equal(open.size, 16)
  socket.destroy()
  while (open.size > 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(seen.length, 16)
})
