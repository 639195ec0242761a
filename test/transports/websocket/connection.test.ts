import { EventEmitter } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { buildSchema } from 'graphql'
import t from 'tap'
import { SOCKET } from '../../../src/transports/websocket/bounds.ts'
import { SocketConnection, type SocketEdge } from '../../../src/transports/websocket/connection.ts'
import type { RunOperation } from '../../../src/transports/websocket/operations.ts'
import { createProtocol } from '../../../src/transports/websocket/protocol.ts'
import { createTestClock } from '../../../src/std/clock.ts'

/** Events that never come, and an end that is noticed. */
function endless (onEnd: () => void): AsyncGenerator<never, void, void> {
  const { promise, resolve } = Promise.withResolvers<IteratorResult<never, void>>()
  return {
    next: () => promise,
    return () {
      onEnd()
      resolve({ value: undefined, done: true })
      return promise
    },
    throw: () => promise,
    [Symbol.asyncIterator] () { return this },
    async [Symbol.asyncDispose] () {}
  } as AsyncGenerator<never, void, void>
}

/** A connection whose time and peer are the test's. */
class FakeSocket extends EventEmitter {
  protocol = 'graphql-transport-ws'
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
  const standing = { holds: true, blocked: false, ended: 0, begun: [] as string[], over: [] as Array<() => boolean> }
  let held: Promise<void> | null = null
  /** The next operations run until the returned function is called. */
  const hold = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    held = promise
    return () => {
      held = null
      resolve()
    }
  }
  const run: RunOperation = async ({ asked, isOver }) => {
    standing.begun.push(asked.query)
    standing.over.push(isOver)
    await held
    return { kind: 'stream', stream: endless(() => { standing.ended++ }), origin: { assessmentId: 'as_1', requestId: null } }
  }
  const edge = {
    app: {
      clock,
      log: { warn () {} },
      identity: { holds: () => standing.holds },
      limits: { peekNamed: () => ({ allowed: true }) },
      decisions: { forAddress: () => null, forCaller: () => standing.blocked ? { action: 'BLOCK', simulated: false } : null }
    },
    protocol: createProtocol({ schema: buildSchema('type Query { a: Int } type Subscription { a: Int }'), run, formatError: (error) => ({ message: error.message }) }),
    recount: () => true
  } as unknown as SocketEdge
  const principal = { clientKey: 'user:1' } as never
  const connection = new SocketConnection(ws as never, { address: '192.0.2.1', neverBlockApplies: true, unnamedProxy: null, headers: [], requestId: 'r', principal }, edge)
  const pass = (ms: number, changed = false): void => {
    clock.advance(ms)
    connection.look(clock.monotonic(), changed)
  }
  const turn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve))
  const ready = async (): Promise<void> => {
    ws.hear({ type: 'connection_init' })
    await turn()
    ws.said.length = 0
  }
  return { ws, pass, ready, turn, standing, connection, hold }
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
  const { ws, pass, ready, turn, standing } = open()
  await ready()
  ws.hear({ id: '1', type: 'subscribe', payload: { query: '{ a }' } })
  await turn()
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

t.test('what is no message of a client closes with 4400', async (t) => {
  const bad: unknown[] = [
    null, 1, 'x', [], {}, { type: 'start', id: '1', payload: { query: '{ a }' } }, { type: 'next', id: '1', payload: {} },
    { type: 'ping', payload: 1 }, { type: 'complete' }, { type: 'complete', id: 1 }, { type: 'complete', id: '' },
    { type: 'subscribe', payload: { query: '{ a }' } }, { type: 'subscribe', id: '1' }, { type: 'subscribe', id: '1', payload: {} },
    { type: 'subscribe', id: '1', payload: { query: '' } }, { type: 'subscribe', id: '1', payload: { query: { kind: 'Document', definitions: [] } } },
    { type: 'subscribe', id: '1', payload: { query: '{ a }', variables: [] } }, { type: 'subscribe', id: '1', payload: { query: '{ a }', extensions: 1 } },
    { type: 'subscribe', id: '1', payload: { query: '{ a }', operationName: 1 } },
    { type: 'subscribe', id: 'x'.repeat(SOCKET.operationIdCharacters + 1), payload: { query: '{ a }' } },
    { type: 'connection_ack' }, { type: 'error', id: '1', payload: [{ message: 'x' }] }
  ]
  for (const message of bad) {
    const { ws, ready, turn, standing } = open()
    await ready()
    ws.hear(message as object)
    await turn()
    t.same(ws.said, ['close 4400'], JSON.stringify(message))
    t.same(standing.begun, [])
  }
  for (const text of ['{', '', '\u0000']) {
    const { ws, turn } = open()
    ws.emit('message', Buffer.from(text), false)
    await turn()
    t.same(ws.said, ['close 4400'], text)
  }
  for (const payload of ['x', []]) {
    const { ws, turn } = open()
    ws.hear({ type: 'connection_init', payload })
    await turn()
    t.same(ws.said, ['close 4400'])
  }
})

t.test('before the acknowledgement, with a second id of the same name, and beyond a hundred operations it is closed', async (t) => {
  const early = open()
  early.ws.hear({ id: '1', type: 'subscribe', payload: { query: '{ a }' } })
  await early.turn()
  t.same(early.ws.said, ['close 4401'])
  const twice = open()
  await twice.ready()
  for (let i = 0; i < 2; i++) twice.ws.hear({ id: 'x'.repeat(128), type: 'subscribe', payload: { query: '{ a }' } })
  await twice.turn()
  t.same(twice.ws.said, ['close 4409'], 'also when the reason would not fit into a close frame')
  const many = open()
  await many.ready()
  for (let i = 0; i <= SOCKET.operations; i++) many.ws.hear({ id: String(i), type: 'subscribe', payload: { query: '{ a }' } })
  await many.turn()
  t.same(many.ws.said, ['close 4429'])
  t.equal(many.standing.begun.length, SOCKET.operations)
  t.equal(many.standing.ended, SOCKET.operations, 'those under way end with it')
})

t.test('the payload of an init is not kept with the socket', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const { ws, turn, connection } = open()
  let given: WeakRef<object> | null = null
  const admit = connection.admit.bind(connection)
  connection.admit = (payload) => {
    given = new WeakRef(payload)
    return admit(payload)
  }
  ws.hear({ type: 'connection_init', payload: { a: new Array(1000).fill({}) } })
  await turn()
  t.same(ws.said, ['connection_ack'])
  for (let i = 0; i < 5; i++) {
    await turn()
    collect()
  }
  t.equal(given!.deref(), undefined)
  t.ok(connection)
})

t.test('an id that comes again after its complete waits until the server is done with the first', async (t) => {
  const { ws, ready, turn, standing, hold } = open()
  await ready()
  const first = hold()
  ws.hear({ id: 'a', type: 'subscribe', payload: { query: '{ one }' } })
  ws.hear({ id: 'a', type: 'complete' })
  ws.hear({ id: 'a', type: 'subscribe', payload: { query: '{ two }' } })
  await turn()
  t.same(standing.begun, ['{ one }'])
  t.ok(standing.over[0]!(), 'nothing is executed any more for the first')
  first()
  await turn()
  t.same(standing.begun, ['{ one }', '{ two }'])
  t.equal(standing.ended, 1, 'the stream of the first ended, as it was completed')
  t.notOk(standing.over[1]!(), 'the second lives')
  ws.hear({ id: 'a', type: 'complete' })
  await turn()
  t.equal(standing.ended, 2, 'and ends with its own complete')
  t.same(ws.said, ['complete'].slice(1), 'of neither anything was said')
})

t.test('one that waits is dropped by its complete, and few may wait', async (t) => {
  const { ws, ready, turn, standing, hold } = open()
  await ready()
  const first = hold()
  ws.hear({ id: 'a', type: 'subscribe', payload: { query: '{ one }' } })
  for (const type of ['complete', 'subscribe', 'complete']) ws.hear({ id: 'a', type, payload: { query: '{ two }' } })
  first()
  await turn()
  t.same(standing.begun, ['{ one }'])
  t.equal(standing.ended, 1)
  const many = open()
  await many.ready()
  many.hold()
  for (let i = 0; i <= SOCKET.reusedIds; i++) {
    for (const type of ['subscribe', 'complete', 'subscribe']) many.ws.hear({ id: String(i), type, payload: { query: '{ a }' } })
  }
  await many.turn()
  t.same(many.ws.said, ['close 4429'])
})

t.test('every stream ends with its socket, whatever ids were used for it', async (t) => {
  const { ws, ready, turn, standing } = open()
  await ready()
  for (let round = 0; round < 50; round++) {
    for (const type of ['subscribe', 'complete', 'subscribe']) ws.hear({ id: `x${round % 7}`, type, payload: { query: '{ a }' } })
    ws.hear({ id: `x${round % 7}`, type: 'complete' })
    await turn()
  }
  ws.hear({ id: 'live', type: 'subscribe', payload: { query: '{ a }' } })
  await turn()
  ws.emit('close')
  await turn()
  t.equal(standing.ended, standing.begun.length, `${standing.begun.length} began`)
})
