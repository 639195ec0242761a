import { EventEmitter } from 'node:events'
import t from 'tap'
import { SOCKET } from '../../../src/transports/websocket/bounds.ts'
import { SocketConnection, type SocketEdge } from '../../../src/transports/websocket/connection.ts'
import { createTestClock } from '../../../src/std/clock.ts'

/** A connection whose time and peer are the test's. */
class FakeSocket extends EventEmitter {
  bufferedAmount = 0
  said: string[] = []
  ping (): void { this.said.push('ping') }
  pong (): void { this.said.push('pong') }
  send (text: string): void { this.said.push((JSON.parse(text) as { type: string }).type) }
  close (code: number): void { this.said.push(`close ${code}`) }
  terminate (): void { this.said.push('terminate') }
  hear (message: object): void { this.emit('message', Buffer.from(JSON.stringify(message)), false) }
}

function open () {
  const clock = createTestClock()
  const ws = new FakeSocket()
  const standing = { holds: true, blocked: false, ended: 0 }
  const edge = {
    app: { clock, log: { warn () {} }, identity: { holds: () => standing.holds } },
    inspection: { blockOf: () => standing.blocked ? {} : null },
    start: () => ({ end () { standing.ended++ } }),
    recount: () => true
  } as unknown as SocketEdge
  const principal = { clientKey: 'user:1' } as never
  const connection = new SocketConnection(ws as never, { address: '192.0.2.1', covered: true, headers: [], requestId: 'r', client: 'user:1', principal }, edge)
  const pass = (ms: number, changed = false): void => {
    clock.advance(ms)
    connection.look(clock.monotonic(), changed)
  }
  const ready = async (): Promise<void> => {
    ws.hear({ type: 'connection_init' })
    await new Promise((resolve) => setImmediate(resolve))
    ws.said.length = 0
  }
  return { ws, pass, ready, standing, connection }
}

t.test('without an init it is closed in time', async (t) => {
  const { ws, pass } = open()
  pass(SOCKET.initMs - 1)
  t.same(ws.said, [])
  pass(1)
  t.same(ws.said, ['close 4408'])
})

t.test('a silent peer is asked, and cut when it does not answer', async (t) => {
  const { ws, pass, ready } = open()
  await ready()
  pass(SOCKET.pingMs - 1)
  t.same(ws.said, [])
  pass(1)
  t.same(ws.said, ['ping'])
  pass(SOCKET.pongMs - 1)
  ws.emit('pong')
  pass(SOCKET.pongMs)
  t.same(ws.said, ['ping'], 'whoever answers stays')
  pass(SOCKET.pingMs)
  pass(SOCKET.pongMs)
  t.same(ws.said, ['ping', 'ping', 'terminate'])
})

t.test('what may wait for a peer is bounded', async (t) => {
  const { ws, pass, ready } = open()
  await ready()
  ws.bufferedAmount = SOCKET.waitingBytes + 1
  pass(SOCKET.lookMs)
  t.same(ws.said, [], 'one large answer may be on its way')
  pass(SOCKET.lookMs)
  t.same(ws.said, ['terminate'])
  const other = open()
  await other.ready()
  other.ws.bufferedAmount = SOCKET.waitingBytes + 1
  other.ws.emit('ping', Buffer.alloc(0))
  t.same(other.ws.said, ['terminate'], 'nothing is added to it, not even a pong')
})

t.test('a credential that no longer holds and a standing block close it and end its operations', async (t) => {
  const { ws, pass, ready, standing } = open()
  await ready()
  ws.hear({ id: '1', type: 'subscribe', payload: { query: '{ a }' } })
  pass(SOCKET.lookMs)
  t.same(ws.said, [])
  standing.holds = false
  pass(SOCKET.lookMs)
  t.same(ws.said, ['close 4403'])
  t.equal(standing.ended, 1)
  ws.hear({ type: 'ping' })
  pass(SOCKET.initMs)
  t.same(ws.said, ['close 4403'], 'nothing is said after the close')

  const other = open()
  await other.ready()
  other.standing.blocked = true
  other.pass(SOCKET.lookMs)
  t.same(other.ws.said, [], 'decisions are asked only when they changed')
  other.pass(SOCKET.lookMs, true)
  t.same(other.ws.said, ['close 4403'])
})

t.test('an identity that cannot answer closes with 1013', async (t) => {
  const { ws } = open()
  ws.hear({ type: 'connection_init', payload: { token: 'x' } })
  await new Promise((resolve) => setImmediate(resolve))
  t.same(ws.said, ['close 1013'])
})
