import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { until } from '../../processes/load.ts'
import { sendRaw } from '../../raw-socket.ts'
import { startServer, type StartedServer } from '../../server.ts'

/**
 * Many requests on one connection before the first answer: who is refused is read no further, who is not takes turns
 * with everybody else. Counted in answers and requests, not in seconds.
 */
const PIPELINED = 1_000
/** Ends a test that would hang. */
const HANGS_MS = 20_000
const ADDRESSES = { limited: '203.0.113.1', hostile: '203.0.113.2', guessing: '203.0.113.3', ordinary: '203.0.113.4' }
const BROWSER = 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: */*\r\n'
const BODY = '{"query":"{ health { status } }"}'

function requestOf (line: string, from: string, headers = '', body = ''): string {
  const length = body === '' ? '' : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`
  return `${line} HTTP/1.1\r\nHost: n\r\nX-Forwarded-For: ${from}\r\n${BROWSER}${headers}${length}\r\n${body}`
}

/** Requests that the gate saw, by status; health routes among them. */
async function countsOf (server: StartedServer): Promise<{ answered: number, underWay: number }> {
  const text = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  const sum = (name: string): number => [...text.matchAll(new RegExp(`^${name}(?:{.*})? (\\d+)$`, 'gm'))]
    .reduce((total, [, count]) => total + Number(count), 0)
  return { answered: sum('neko_http_requests_total'), underWay: sum('neko_http_requests_in_flight') }
}

/** Once nothing is under way any more: what a closed connection left is settled a moment after its answer. */
async function answeredBy (server: StartedServer): Promise<number> {
  return await until('nothing is under way', async () => {
    const { answered, underWay } = await countsOf(server)
    return underWay === 0 ? { answered } : null
  }, HANGS_MS).then(({ answered }) => answered)
}

t.test('requests on one connection, one behind the other', async (t) => {
  const server = await startServer(t, {
    env: { TRUST_PROXY: '127.0.0.0/8', RATE_LIMIT_STANDARD: '30/3600/0', LOG_LEVEL: 'warn' }
  })
  const { port } = server
  const get = (from: string): string => requestOf('GET /articles', from)

  await t.test('a pipeline of as many as load tools send is answered in full', async (t) => {
    for (const from of ['198.51.100.1', '198.51.100.2']) {
      // The last one asks for the end: the connection is open until then.
      const { statuses, closed } = await sendRaw(port, [get(from).repeat(15), requestOf('GET /articles', from, 'Connection: close\r\n')], HANGS_MS)
      t.same([statuses, closed], [Array(16).fill(404), true])
    }
  })

  await t.test('whoever is refused is answered once, whole, and read no further', async (t) => {
    await sendRaw(port, [get(ADDRESSES.limited).repeat(64)], HANGS_MS)
    const { limited, hostile, guessing, ordinary } = ADDRESSES
    const bearer = 'Authorization: Bearer a.b.c\r\n'
    const injection = "GET /articles?id=1'%20UNION%20SELECT%20password%20FROM%20users--"
    const tooLarge = 'Content-Type: application/json\r\nContent-Length: 99999\r\n'
    const kinds: Array<{ title: string, request: string, status: number, most: number }> = [
      { title: 'a limit', status: 429, most: 1, request: get(limited) },
      { title: 'a limit, with a body', status: 429, most: 1, request: requestOf('POST /graphql', limited, '', BODY) },
      { title: 'a score', status: 403, most: 16, request: requestOf(injection, hostile) },
      { title: 'a credential', status: 401, most: 16, request: requestOf('GET /articles', guessing, bearer) },
      { title: 'a body too large', status: 413, most: 1, request: requestOf('POST /graphql', ordinary, tooLarge) }
    ]
    for (const { title, request, status, most } of kinds) {
      const before = await answeredBy(server)
      const { text, statuses, closed } = await sendRaw(port, [request.repeat(PIPELINED)], HANGS_MS)
      t.same([statuses, closed], [[status], true], title)
      const [head, body] = text.split('\r\n\r\n') as [string, string]
      t.match(head, /^connection: close$/im, title)
      t.equal(body.length, Number(/^content-length: (\d+)/im.exec(head)?.[1]), title)
      t.match(JSON.stringify(JSON.parse(body)), /NEKO_ERR_/, title)
      const handled = await answeredBy(server) - before
      t.ok(handled >= 1 && handled <= most, `${title}: ${handled} requests`)
    }
  })

  await t.test('who asks after each answer keeps its connection, refused or not', async (t) => {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    const post = requestOf('POST /graphql', ADDRESSES.limited, '', BODY)
    for (const request of [get(ADDRESSES.limited), get(ADDRESSES.limited), post, post]) {
      socket.write(request)
      const text = await Promise.race([
        new Promise<string>((resolve) => socket.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')))),
        new Promise<string>((resolve) => socket.once('close', () => resolve('closed')))
      ])
      t.match(text, /^HTTP\/1.1 429 /)
      t.notMatch(text, /connection: close/i)
    }
    // A body that is still to come is not waited for.
    const late = await sendRaw(port, [post.slice(0, -5)], HANGS_MS)
    t.same([late.statuses, late.closed], [[429], true])
  })

  await t.test('what is never limited takes turns with others', async (t) => {
    const open = async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      await once(socket, 'connect')
      return socket
    }
    const victim = await open()
    const attackers = await Promise.all(Array.from({ length: 40 }, open))
    const texts = attackers.map(() => '')
    const closed = attackers.map(async (socket) => await new Promise((resolve) => socket.once('close', resolve)))
    for (const [i, socket] of attackers.entries()) socket.on('data', (chunk: Buffer) => { texts[i] += chunk.toString('latin1') })
    // All in one turn of this process, the victim last: a pause between them would let the attackers be through.
    for (const socket of attackers) socket.write('GET /health/live HTTP/1.1\r\nHost: n\r\n\r\n'.repeat(PIPELINED))
    victim.write(requestOf('POST /graphql', '198.51.100.3', '', BODY))
    const first = (await once(victim, 'data') as [Buffer])[0].toString('latin1')
    t.match(first, /^HTTP\/1.1 200 /)
    await Promise.all(closed)
    // Requests are numbered as they begin, which no pause of the reader changes.
    const numbersIn = (text: string): number[] => [...text.matchAll(/^x-request-id: \w+-(\w+)\r$/gm)].map(([, number]) => parseInt(number!, 36))
    const [own] = numbersIn(first) as [number]
    const numbers = texts.flatMap(numbersIn)
    const before = numbers.filter((number) => number < own).length
    t.ok(before < numbers.length / 2, `${before} of ${numbers.length} requests began before the one of somebody else`)
    t.ok(numbers.length > 40 && numbers.length <= 40 * 200, 'and each connection was closed when it held too many')
    victim.destroy()
  })

  await t.test('the port of the figures is bounded too', async (t) => {
    const scrape = 'GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n'
    const metricsPort = Number(new URL(server.metricsUrl).port)
    const { statuses, closed } = await sendRaw(metricsPort, [scrape.repeat(PIPELINED)], HANGS_MS)
    t.same([statuses, closed], [Array(16).fill(200), true])
  })

  await t.test('clients that leave in the midst of their pipelines leave nothing under way', async (t) => {
    for (let i = 0; i < 5; i++) {
      const socket = connect(port, '127.0.0.1')
      await new Promise((resolve) => socket.write(get(`198.51.100.${10 + i}`).repeat(50), resolve))
      socket.destroy()
    }
    t.ok(await answeredBy(server) > 0)
  })
})
