import { Writable } from 'node:stream'
import type { Socket } from 'node:net'
import t from 'tap'
import { writeWithOthers } from '../../../src/transports/http/written-together.ts'

function destination (): { socket: Socket, received: string[] } {
  const received: string[] = []
  const socket = new Writable({
    write (chunk, _encoding, done) {
      received.push(String(chunk))
      done()
    }
  })
  return { socket: socket as Socket, received }
}

t.test('what is written in one turn leaves at its end, in its order', async (t) => {
  const all = Array.from({ length: 10 }, destination)
  for (const { socket } of all) {
    writeWithOthers(socket)
    socket.write('head')
    socket.write('body')
    // A second answer on the same connection.
    writeWithOthers(socket)
    socket.write('next')
  }
  t.same(all.map(({ received }) => received), all.map(() => []))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(all.map(({ received }) => received.join()), all.map(() => 'head,body,next'))
  all[0]!.socket.write('later')
  t.equal(all[0]!.received.at(-1), 'later', 'nothing is held back in a later turn')
})

t.test('no answer waits for more than 64 others', async (t) => {
  const all = Array.from({ length: 200 }, destination)
  for (const [i, { socket }] of all.entries()) {
    writeWithOthers(socket)
    socket.write(`answer ${i}`)
    await Promise.resolve()
    t.ok(all.filter(({ received }) => received.length === 0).length - (all.length - 1 - i) <= 64)
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.same(all.flatMap(({ received }) => received), all.map((_, i) => `answer ${i}`))
})

t.test('a connection that ends meanwhile holds up no other', async (t) => {
  const [gone, other] = [destination(), destination()]
  gone.socket.on('error', () => {})
  for (const { socket } of [gone, other]) {
    writeWithOthers(socket)
    socket.write('answer')
  }
  gone.socket.destroy()
  await new Promise((resolve) => setImmediate(resolve))
  t.same([gone.received, other.received], [[], ['answer']])
})
