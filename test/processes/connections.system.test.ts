import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { scaled } from '../scale.ts'
import { startServer } from '../server.ts'
import { until } from './load.ts'
import { readyOf } from './status-of.ts'

/**
 * A reload closes no connection under its client's next request: idle ones are handed over with what lies unread on
 * them, and those with half a request end by the worker that has read it. Clients here ask on one connection each, at
 * any moment, and never again.
 */
const main = new URL('small-main.ts', import.meta.url)
const GET = 'GET / HTTP/1.1\r\nHost: neko\r\n\r\n'
const STEADY = scaled(40, 200)
const RELOADS = scaled(3, 20)

/** One connection as bytes, and what was answered on it. */
class RawClient {
  readonly socket: Socket
  readonly pids: number[] = []
  hasEnded = false
  saysClose = false
  #unread = ''

  constructor (url: string) {
    this.socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('latin1').setNoDelay(true)
    this.socket.on('data', (text: string) => this.#read(text))
    this.socket.on('close', () => { this.hasEnded = true })
    this.socket.on('error', () => { this.hasEnded = true })
  }

  async answers (count: number): Promise<void> {
    await until(`${count} answers on ${this.socket.localPort}`, () => this.hasEnded || this.pids.length >= count)
  }

  #read (text: string): void {
    this.#unread += text
    if (/^connection: close\r$/im.test(text)) this.saysClose = true
    for (const [whole, pid] of this.#unread.matchAll(/"pid":(\d+)[^}]*\}/g)) {
      this.pids.push(Number(pid))
      this.#unread = this.#unread.slice(this.#unread.indexOf(whole) + whole.length)
    }
  }
}

t.test('two workers reloaded', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  let reloads = 0
  const reload = async (): Promise<void> => {
    reloads++
    server.signal('SIGHUP')
    await until('reloaded', () => server.logs().filter(({ msg }) => msg === 'reloaded').length === reloads)
  }
  const open = (t: Test, count: number): RawClient[] => {
    const clients = Array.from({ length: count }, () => new RawClient(server.url))
    t.teardown(() => clients.forEach(({ socket }) => socket.destroy()))
    return clients
  }

  await t.test('idle connections, never used or used, live on in the new workers', async (t) => {
    const [used, fresh] = [open(t, 20), open(t, 20)]
    for (const { socket } of used) socket.write(GET)
    await Promise.all(used.map((client) => client.answers(1)))
    await until('all are accepted', () => fresh.every(({ socket }) => socket.readyState === 'open'))
    const old = new Set((await readyOf(server)).map(({ pid }) => pid))
    await reload()
    for (const { socket } of [...used, ...fresh]) socket.write(GET)
    await Promise.all([...used.map((client) => client.answers(2)), ...fresh.map((client) => client.answers(1))])
    t.same(used.map(({ pids }) => pids.length), used.map(() => 2))
    t.same(fresh.map(({ pids }) => pids.length), fresh.map(() => 1))
    t.notOk([...used, ...fresh].some(({ pids }) => old.has(pids.at(-1)!)), 'none is answered by a worker of before')
    t.notOk([...used, ...fresh].some(({ hasEnded, saysClose }) => hasEnded || saysClose))
    const both = new Set((await readyOf(server)).map(({ pid }) => pid))
    t.same(new Set([...used, ...fresh].map(({ pids }) => pids.at(-1)!)), both, 'both workers have some')
    // A second reload hands over what was handed over, and no end of a client is missed.
    await reload()
    for (const { socket } of used) socket.write(GET)
    await Promise.all(used.map((client) => client.answers(3)))
    t.same(used.map(({ pids }) => pids.length), used.map(() => 3))
  })

  await t.test('half a request is ended by the worker that has read it', async (t) => {
    const cuts = [1, 4, 20, GET.length - 1]
    const clients = open(t, 8)
    const old = new Set((await readyOf(server)).map(({ pid }) => pid))
    for (const [i, { socket }] of clients.entries()) socket.write(GET.slice(0, cuts[i % cuts.length]))
    await sleep(200)
    const reloaded = reload()
    await until('a worker drains', async () => (await readyOf(server)).some(({ pid }) => !old.has(pid)))
    for (const [i, { socket }] of clients.entries()) socket.write(GET.slice(cuts[i % cuts.length]))
    await Promise.all(clients.map((client) => client.answers(1)))
    t.same(clients.map(({ pids }) => pids.length), clients.map(() => 1))
    await reloaded
  })

  await t.test(`${STEADY} clients that ask at any moment, one behind the other or two at once, lose nothing in ${RELOADS} reloads`, async (t) => {
    const stopping = new AbortController()
    const random = fc.sample(fc.record({ pauseMs: fc.integer({ min: 0, max: 120 }), atOnce: fc.constantFrom(1, 1, 1, 2), splitAt: fc.integer({ min: 0, max: GET.length }) }), 500)
    const lost: string[] = []
    let [asked, connections] = [0, 0]
    const run = async (seed: number): Promise<void> => {
      for (let i = seed; !stopping.signal.aborted;) {
        const client = new RawClient(server.url)
        connections++
        let [sent, answered] = [0, 0]
        while (!stopping.signal.aborted && !client.saysClose) {
          const { pauseMs, atOnce, splitAt } = random[i++ % random.length]!
          const text = GET.repeat(atOnce)
          client.socket.write(text.slice(0, splitAt))
          if (splitAt % 4 === 0) await sleep(1)
          client.socket.write(text.slice(splitAt))
          sent += atOnce
          await client.answers(sent)
          answered = client.pids.length
          // The second of two is the client's to repeat where the answer to the first says that it was the last.
          const missing = client.saysClose && answered > sent - atOnce ? 0 : sent - answered
          if (missing > 0) lost.push(`${answered} of ${sent} answered on ${client.socket.localPort}`)
          if (client.hasEnded) break
          await sleep(pauseMs)
        }
        asked += answered
        client.socket.destroy()
      }
    }
    const running = Array.from({ length: STEADY }, (_, seed) => run(seed * 7))
    for (let i = 0; i < RELOADS; i++) await reload()
    stopping.abort()
    await Promise.all(running)
    t.same(lost, [])
    t.comment(`${asked} answers on ${connections} connections`)
    t.ok(asked > STEADY)
  })
})
