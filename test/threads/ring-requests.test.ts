import { MessageChannel } from 'node:worker_threads'
import t from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import { cheapScore } from '../../src/detect/score.ts'
import { createScoreWriter, readRequest } from '../../src/threads/ring-codec.ts'
import { DONE, SMALL, TAIL, TAKEN, createRing, slotAt } from '../../src/threads/ring.ts'
import { RingRequests } from '../../src/threads/ring-requests.ts'
import { waiting as waitingFor } from './waiting.ts'
import type { Test } from 'tap'
import type { Waiting } from '../../src/threads/shapes.ts'

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })

/** A ring whose running numbers begin at `first`, and a thread that does as much as it is told. */
function open (t: Test, first = 0) {
  const ring = createRing(SMALL)
  const { words } = ring
  for (const word of [TAIL, TAKEN, DONE]) Atomics.store(words, word, first)
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => { port1.close(); port2.close() })
  const answered: string[] = []
  const answer = ({ observation }: Waiting): void => { answered.push(observation.id) }
  const requests = new RingRequests({ ring, port: port1, answer, policyVersions: [policy.version] })
  const writer = createScoreWriter()
  const take = (): number => {
    const sequence = Atomics.load(words, TAKEN)
    Atomics.store(words, TAKEN, sequence + 1)
    return sequence
  }
  const serve = (): void => {
    const sequence = take()
    const slot = slotAt(ring, sequence)
    writer.write(ring, slot, cheapScore(readRequest(ring, slot), policy), 0)
    Atomics.store(words, DONE, sequence + 1)
  }
  return { requests, answered, take, serve }
}

function waiting (id: string, body: Uint8Array | null = null): Waiting {
  return waitingFor({ id, body })
}

t.test('running numbers pass the end of 32 bits', async (t) => {
  const { requests, answered, serve } = open(t, 2 ** 31 - 2)
  for (const id of ['a', 'b', 'c', 'd']) requests.send(waiting(id))
  t.equal(requests.size, 4)
  for (let i = 0; i < 4; i++) serve()
  requests.collect()
  t.same(answered, ['a', 'b', 'c', 'd'])
  t.equal(requests.size, 0)
})

t.test('a thread that ends leaves the one in hand apart from the others, which keep their order', async (t) => {
  const { requests, answered, take, serve } = open(t)
  requests.send(waiting('done'))
  for (const id of ['in hand', 'next']) requests.send(waiting(id))
  requests.send(waiting('big', new Uint8Array(64 * 1024)))
  serve()
  take()
  requests.collect()
  const { inHand, others } = requests.end()
  t.same(answered, ['done'])
  t.equal(inHand?.observation.id, 'in hand')
  t.same(others.map((one) => one.observation.id), ['next', 'big'])
})
