import t from 'tap'
import { createAfterwards } from '../../src/threads/afterwards.ts'
import { createAnswers } from '../../src/threads/answers.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { cheapScore } from '../../src/detect/score.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { waiting } from './waiting.ts'
import type { Answers } from '../../src/threads/answers.ts'
import type { Answer, Channel, Later, Waiting } from '../../src/threads/shapes.ts'

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const ATTACK = "1' UNION SELECT username, password FROM users--"

interface Asked { one: Waiting, given: Answer[], told: () => Promise<Later> }

function asked (body: Uint8Array | null = null): Asked {
  const given: Answer[] = []
  const one = waiting({ body }, (answer) => { given.push(answer) })
  return { one, given, told: async () => await given[0]!.later! }
}

function answers (): { answers: Answers, seen: Answer[] } {
  const seen: Answer[] = []
  return { answers: createAnswers({ clock: createTestClock(), policy: () => policy, onScored: (_seconds, answer) => seen.push(answer) }), seen }
}

t.test('a request has one answer, and the rest is told to whoever waits for it', async (t) => {
  const full = cheapScore(waiting().observation, policy)
  const ends: Array<[string, (to: Answers, one: Waiting) => void, Later | null]> = [
    ['its full score', (to, one) => to.full(one, full), { score: full, exhausts: false }],
    ['a scorer that throws', (to, one) => to.full(one, null), { score: null, exhausts: false }],
    ['a text that exhausts', (to, one) => to.refuse(one, 'exhausts'), { score: null, exhausts: true }],
    ['a backlog', (to, one) => to.refuse(one, 'backlog'), { score: null, exhausts: false }],
    ['another answer in a hurry', (to, one) => to.inHurry(one, true), { score: null, exhausts: false }]
  ]
  for (const [what, end, later] of ends) {
    const { answers: to, seen } = answers()
    const { one, given, told } = asked()
    to.inHurry(one, true)
    t.match(given, [{ unjudged: null, score: { degraded: true } }])
    t.equal(to.owed(), 1)
    end(to, one)
    t.same(await told(), later, what)
    t.equal(to.owed(), 0, what)
    end(to, one)
    t.equal(to.owed(), 0, 'told once')
    t.equal(given.length, 1)
    t.equal(seen.length, 1, 'and counted once')
  }
})

t.test('who is refused has nothing to come, unless its thread goes on', async (t) => {
  const { answers: to } = answers()
  const refused = asked()
  to.refuse(refused.one, 'backlog')
  t.match(refused.given, [{ unjudged: 'backlog', later: null, score: { degraded: true } }])
  const suspect = asked()
  to.refuseForNow(suspect.one, 'unfinished')
  t.match(suspect.given, [{ unjudged: 'unfinished', score: { degraded: true } }])
  t.equal(to.owed(), 1)
  to.refuse(suspect.one, 'exhausts')
  t.same(await suspect.told(), { score: null, exhausts: true })
})

t.test('an answer in a hurry knows the raw bytes, and the full score those of a body of its own', async (t) => {
  const { answers: to } = answers()
  const body = new TextEncoder().encode(JSON.stringify({ q: ATTACK }))
  const { one, given } = asked(body)
  to.inHurry(one, true)
  t.match(given, [{ score: { grade: 'certain', degraded: true } }])
  t.ok(given[0]!.score.value >= policy.blockThreshold)
  body.fill(0)
  t.match(Buffer.from(one.observation.body as Uint8Array).toString(), ATTACK, 'whoever is lent the memory next changes nothing')
  const refused = asked(new TextEncoder().encode(JSON.stringify({ q: ATTACK })))
  to.refuse(refused.one, 'full')
  t.equal(refused.given[0]!.score.grade, null, 'nobody reads what is refused anyway')
})

t.test('what found no room is bounded, and handed on when the channel has time', async (t) => {
  const taken: Waiting[] = []
  let size = 2
  let alive = true
  const channel = { size: () => size, isAlive: () => alive, push: (one: Waiting) => taken.push(one) > 0 } as unknown as Channel
  const afterwards = createAfterwards({ max: 3, portion: 2 })
  const all = Array.from({ length: 4 }, () => waiting())
  t.same(all.map((one) => afterwards.keep(one)), [true, true, true, false])
  afterwards.feed(channel)
  t.equal(taken.length, 0, 'the channel is busy')
  size = 1
  alive = false
  afterwards.feed(channel)
  t.equal(taken.length, 0, 'its thread is not there')
  alive = true
  afterwards.feed(channel)
  t.same(taken, all.slice(0, 2))
  t.same(afterwards.drain(), [all[2]])
  t.same(afterwards.drain(), [])
})
