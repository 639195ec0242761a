import t from 'tap'
import { createFairQueue } from '../../src/threads/fair-queue.ts'
import { observation } from '../detect/observations.ts'
import type { Waiting } from '../../src/threads/shapes.ts'

/** A channel that holds what it is given until it is told to be done with one. */
function channel (): { taken: string[], size: () => number, push: (waiting: Waiting) => boolean, finish: () => void, close: () => void } {
  let inside = 0
  let closed = false
  const taken: string[] = []
  return {
    taken,
    size: () => inside,
    push (waiting) {
      if (closed) return false
      inside++
      taken.push(waiting.observation.id)
      return true
    },
    finish () { inside-- },
    close () { closed = true }
  }
}

function from (client: string, id: string): Waiting {
  return { observation: observation({ client, id }), startedMs: 0, answered: false, resolve () {} }
}

t.test('clients take turns, however many one of them brought', async (t) => {
  const behind = channel()
  const queue = createFairQueue(behind, 64, () => t.fail('nothing is refused'))
  for (let i = 0; i < 30; i++) queue.push(from('ip:a', `a${i}`))
  queue.push(from('ip:b', 'b0'))
  queue.push(from('ip:b', 'b1'))
  queue.push(from('ip:c', 'c0'))
  t.equal(queue.size(), 33)
  for (let i = 0; i < 7; i++) {
    behind.finish()
    queue.feed()
  }
  t.same(behind.taken, ['a0', 'a1', 'a2', 'a3', 'b0', 'c0', 'a4', 'b1', 'a5', 'a6'])
  t.equal(queue.drain().length, 23)
  t.equal(queue.size(), behind.size())
})

t.test('what was answered meanwhile is dropped, what is too many refused, what is left given back', async (t) => {
  const behind = channel()
  const refused: Waiting[] = []
  const queue = createFairQueue(behind, 6, (waiting) => refused.push(waiting))
  const all = Array.from({ length: 7 }, (_, i) => from('ip:a', String(i)))
  t.same(all.map((one) => queue.push(one)), [true, true, true, true, true, true, false])
  all[3]!.answered = true
  behind.finish()
  queue.feed()
  t.same(behind.taken, ['0', '1', '2', '4'])
  behind.close()
  behind.finish()
  queue.feed()
  t.same(refused.map((one) => one.observation.id), ['5'])
  for (const one of [from('ip:b', 'b'), from('ip:a', 'a')]) queue.push(one)
  t.equal(queue.size(), 2)
  t.equal(refused.length, 3, 'a closed channel refuses at once')
  t.same(queue.drain(), [])
})
