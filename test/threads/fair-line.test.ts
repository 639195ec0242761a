import t from 'tap'
import { createFairLine } from '../../src/threads/fair-line.ts'
import { observation } from '../detect/observations.ts'
import type { Waiting } from '../../src/threads/shapes.ts'

/** A lane that holds what it is given until it is told to be done with one. */
function lane (): { taken: string[], size: () => number, push: (waiting: Waiting) => boolean, finish: () => void, close: () => void } {
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
  const behind = lane()
  const line = createFairLine(behind, 64, () => t.fail('nothing is refused'))
  for (let i = 0; i < 30; i++) line.push(from('ip:a', `a${i}`))
  line.push(from('ip:b', 'b0'))
  line.push(from('ip:b', 'b1'))
  line.push(from('ip:c', 'c0'))
  t.equal(line.size(), 33)
  for (let i = 0; i < 7; i++) {
    behind.finish()
    line.feed()
  }
  t.same(behind.taken, ['a0', 'a1', 'a2', 'a3', 'b0', 'c0', 'a4', 'b1', 'a5', 'a6'])
  t.equal(line.drain().length, 23)
  t.equal(line.size(), behind.size())
})

t.test('what was answered meanwhile is dropped, what is too many refused, what is left given back', async (t) => {
  const behind = lane()
  const refused: Waiting[] = []
  const line = createFairLine(behind, 6, (waiting) => refused.push(waiting))
  const all = Array.from({ length: 7 }, (_, i) => from('ip:a', String(i)))
  t.same(all.map((one) => line.push(one)), [true, true, true, true, true, true, false])
  all[3]!.answered = true
  behind.finish()
  line.feed()
  t.same(behind.taken, ['0', '1', '2', '4'])
  behind.close()
  behind.finish()
  line.feed()
  t.same(refused.map((one) => one.observation.id), ['5'])
  for (const one of [from('ip:b', 'b'), from('ip:a', 'a')]) line.push(one)
  t.equal(line.size(), 2)
  t.equal(refused.length, 3, 'a closed lane refuses at once')
  t.same(line.drain(), [])
})
