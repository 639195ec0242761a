import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import t from 'tap'
import { startFaultProxy } from './fault-proxy.ts'

/** A reset is an error first, which once() would throw. */
function closed (socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

t.test('the fault proxy passes, delays, stalls, cuts, resets and half-closes', async (t) => {
  const sockets = new Set<Socket>()
  const echo = createServer((socket) => { sockets.add(socket); socket.on('error', () => {}).pipe(socket) })
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { for (const socket of sockets) socket.destroy(); echo.close() })
  const proxy = await startFaultProxy(t, { port: (echo.address() as AddressInfo).port })
  const open = async (): Promise<Socket> => {
    const socket = connect(proxy.port, '127.0.0.1')
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  const ask = async (socket: Socket, text: string): Promise<string> => {
    socket.write(text)
    return String((await once(socket, 'data'))[0])
  }
  const socket = await open()
  t.equal(await ask(socket, 'hello'), 'hello')
  proxy.setFault({ kind: 'delay', ms: 40 })
  const startMs = performance.now()
  t.equal(await ask(socket, 'slow'), 'slow')
  t.ok(performance.now() - startMs >= 70, 'both ways')
  proxy.setFault({ kind: 'stall' })
  const held = ask(socket, 'held')
  const first = await Promise.race([held, new Promise((resolve) => setTimeout(resolve, 50, 'nothing'))])
  t.equal(first, 'nothing')
  proxy.setFault(null)
  t.equal(await held, 'held', 'a healed stall loses nothing')
  proxy.setFault({ kind: 'cut', replyBytes: 3, times: 1 })
  const got: Buffer[] = []
  socket.on('data', (chunk: Buffer) => got.push(chunk))
  socket.write('abcdef')
  await closed(socket)
  t.ok(Buffer.concat(got).length <= 3)
  t.equal(proxy.cuts(), 1)
  const second = await open()
  t.equal(await ask(second, 'again'), 'again', 'only so many times')
  proxy.setFault({ kind: 'reset' })
  await closed(second)
  proxy.setFault(null)
  const third = await open()
  t.equal(await ask(third, 'x'), 'x')
  proxy.setFault({ kind: 'half-close' })
  third.resume()
  await once(third, 'end')
})
