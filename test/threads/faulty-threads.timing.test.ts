import { availableParallelism, loadavg } from 'node:os'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { Test } from 'tap'
import { cheapScore } from '../../src/detect/score.ts'
import type { Observation, Score } from '../../src/detect/shapes.ts'
import type { ScoringPool } from '../../src/threads/pool.ts'
import type { Answer } from '../../src/threads/shapes.ts'
import { withinBar } from '../bar.ts'
import { observation } from '../detect/observations.ts'
import { meaning, own, policy, pool } from './pools.ts'

const faulty = new URL('./faulty-worker.ts', import.meta.url)

async function timed (pool: ScoringPool, seen: Observation): Promise<{ score: Score, ms: number }> {
  const startedMs = performance.now()
  const score = await pool.score(seen)
  return { score, ms: performance.now() - startedMs }
}

async function wholeAgain (pool: ScoringPool): Promise<number> {
  const startedMs = performance.now()
  while (performance.now() - startedMs < 5_000) {
    if (!(await pool.score(observation())).degraded) break
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - startedMs
}

/** Nothing is held for ever, and no thread hangs on. */
async function untilEmpty (t: Test, made: ScoringPool): Promise<void> {
  for (let tries = 0; made.queueSize() > 0 && tries < 250; tries++) await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(made.queueSize(), 0, 'nothing is left')
}

/** Whatever becomes of one text, everybody else is scored, and soon the pool is whole. */
async function besides (t: Test, made: ScoringPool, bad: Promise<Answer>): Promise<Answer> {
  const others = Array.from({ length: 20 }, () => timed(made, observation()))
  const answer = await bad
  const rest = await Promise.all(others)
  const worst = Math.max(...rest.map((one) => one.ms))
  t.comment(`others: ${rest.filter((one) => !one.score.degraded).length} of 20 scored in full, slowest ${worst.toFixed(0)} ms`)
  withinBar(t, 'everybody is answered (150 ms and the machine\'s noise)', worst, 200)
  withinBar(t, 'whole again', await wholeAgain(made), 500)
  t.ok(made.healthy())
  return answer
}

for (const fault of ['hang', 'redos']) {
  t.test(`ring: a text that uses up a thread twice is its client's doing (${fault})`, async (t) => {
    const made = await pool(t, { mode: 'ring', workerUrl: faulty })
    const startedMs = performance.now()
    let ms = 0
    const bad = made.ask(observation({ url: `/fault/${fault}` }), own()).then((answer) => {
      ms = performance.now() - startedMs
      return answer
    })
    const { score, unjudged, later } = await besides(t, made, bad)
    t.ok(score.degraded && score.value < policy.blockThreshold)
    withinBar(t, 'refused', ms, 500)
    // A machine that is busy with other things may need longer than the refusal waits.
    t.ok(unjudged === 'exhausts' || (await later)?.exhausts === true)
    t.equal(made.deaths.length, 2)
  })

  t.test(`ring: where there is no second try the first stop decides (${fault})`, async (t) => {
    const made = await pool(t, { mode: 'ring', workerUrl: faulty })
    const bad = made.ask(observation({ url: `/fault/${fault}` }), { ...own(), secondTry: false })
    const { unjudged, later } = await besides(t, made, bad)
    // A machine that is busy with other things may take longer than a request waits to see that.
    t.ok(unjudged === 'exhausts' || (await later)?.exhausts === true)
    t.equal(made.deaths.length, 1)
  })
}

t.test('ring: a text that is only dear gets its full score at the second try', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const { score, later } = await besides(t, made, made.ask(observation({ url: '/fault/busy/110' }), own()))
  // On a machine that is busy with other things it may come after the refusal.
  t.equal((score.degraded === false ? score : (await later)?.score)?.degraded, false)
  t.equal(made.deaths.length, 1)
})

t.test('ring: a thread that waits is not a text that exhausts: answered in a hurry, scored in full afterwards', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const startedMs = performance.now()
  const { score, unjudged, later } = await made.ask(observation({ url: '/fault/asleep/1800' }), own())
  withinBar(t, 'answered', performance.now() - startedMs, 200)
  t.equal(unjudged, null)
  t.ok(score.degraded)
  t.match(await later, { exhausts: false, score: { degraded: false, source: 'thread' } })
  t.equal(made.deaths.length, 0, 'the clock on the wall stops nobody for a second or two')
})

t.test('ring: a thread that dies by itself is made up for', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const newest = new Worker('', { eval: true })
  const { threadId } = newest
  await newest.terminate()
  const { score, unjudged, later } = await besides(t, made, made.ask(observation({ url: `/fault/exit/${threadId}` }), own()))
  t.equal(unjudged, null)
  const full = score.degraded ? (await later)?.score : score
  t.equal(full?.degraded, false, 'the next thread gives the full score')
})

for (const fault of ['exit', 'memory']) {
  t.test(`ring: a text of which two threads die is its client's doing, if only afterwards (${fault})`, async (t) => {
    const made = await pool(t, { mode: 'ring', workerUrl: faulty })
    const { score, unjudged, later } = await besides(t, made, made.ask(observation({ url: `/fault/${fault}` }), own()))
    t.ok(score.degraded && score.value < policy.blockThreshold)
    t.ok(unjudged === 'exhausts' || (await later)?.exhausts === true)
    t.equal(made.deaths.length, 2)
  })
}

t.test('ring: a scorer that throws costs one answer in a hurry, and no thread', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const { score, unjudged, later } = await besides(t, made, made.ask(observation({ url: '/fault/throw' }), own()))
  t.ok(score.degraded && score.value < policy.blockThreshold)
  t.same([unjudged, later], [null, null])
  t.equal(made.deaths.length, 0)
})

t.test('ring: what the queue cannot hold is answered by the cheap scorer at once', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const startedMs = performance.now()
  const held = Array.from({ length: 256 }, (_, i) => made.score(observation({ url: '/fault/slow', client: `ip:203.0.113.${i % 8}` })))
  const bound = made.queueSize()
  const overflowMs = performance.now()
  const attack = observation({ headers: ['User-Agent', 'sqlmap/1.8'], url: '/decoy?q=union select', history: { ...observation().history!, failedLogins600s: 90, requests10s: 3_000 } })
  const answers = await Promise.all(Array.from({ length: 50 }, () => made.ask(attack, own('ip:198.51.100.9'))))
  const over = answers.map(({ score }) => score)
  const perAnswerMs = (performance.now() - overflowMs) / 50
  t.equal(bound, 256, 'the queue is full')
  t.ok(over.every((score) => score.degraded && score.value < policy.blockThreshold), 'none may be refused for a missing score')
  t.same(meaning(over[0] as Score), meaning(cheapScore(attack, policy)))
  t.ok(answers.every(({ unjudged }) => unjudged === null), 'who brought nothing else is not refused')
  withinBar(t, 'each answer of the cheap scorer', perAnswerMs, 5)
  const scores = await Promise.all(held)
  withinBar(t, 'the deadline ends the wait of the others', performance.now() - startedMs, 400)
  t.ok((await Promise.all(answers.map(({ later }) => later))).every((one) => one?.score?.degraded === false), 'all are scored in full when there is time')
  t.ok(scores.some((score) => !score.degraded))
  t.equal(made.deaths.length, 0, 'slow is not hung')
  await untilEmpty(t, made)
})

t.test('ring: a client whose own requests fill half of the queue is told to wait', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const answers = await Promise.all(Array.from({ length: 200 }, () => made.ask(observation({ url: '/fault/slow' }), own())))
  t.equal(answers.filter(({ unjudged }) => unjudged === 'backlog').length >= 40, true)
  t.equal((await made.ask(observation(), own('ip:198.51.100.9'))).unjudged, null)
})

t.test('ring: one client\'s hundred light requests do not stand before everybody', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const flood = Array.from({ length: 95 }, (_, i) => made.ask(observation({ url: `/fault/slow?${i}`, client: 'ip:203.0.113.9' }), own('ip:203.0.113.9')))
  let before = 0
  for (const one of flood) one.then(() => { before++ })
  const innocent = await made.ask(observation({ client: 'ip:198.51.100.9' }), own('ip:198.51.100.9'))
  t.ok(before <= 40, `${before} of 95 came first`)
  t.equal(innocent.unjudged, null)
  await Promise.all(flood)
  await untilEmpty(t, made)
})

t.test('ring: small observations do not wait behind a flood of big ones, and big ones are not starved', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  let bigs = 0
  // Whoever waits past the deadline gets the cheap score, at once with all others of its time: that says nothing of turns.
  const big = Array.from({ length: 20 }, (_, i) => made.score(observation({ url: '/fault/slow', body: new Uint8Array(64 * 1024).fill(97 + i) })).then((score) => { if (!score.degraded) bigs++ }))
  const crowd = async (): Promise<unknown> => await Promise.all(Array.from({ length: 100 }, () => made.score(observation())))
  await crowd()
  t.ok(bigs <= 10, `${bigs} of 20 big ones came before the last of 100 small ones`)
  // Two crowds in turns, so that there are always small ones.
  let crowds = 0
  const go = async (): Promise<void> => { while (bigs === 0 && crowds++ < 100) await crowd() }
  await Promise.all([go(), go()])
  t.ok(bigs >= 1, `a big one had its turn after ${crowds} more crowds`)
  await Promise.all(big)
})

t.test('two threads share the work, and one of them failing leaves the other', async (t) => {
  const made = await pool(t, { mode: 'ring', threads: 2, workerUrl: faulty })
  const bad = made.ask(observation({ url: '/fault/hang' }))
  await new Promise((resolve) => setTimeout(resolve, 20))
  const other = await made.score(observation())
  t.notOk(other.degraded)
  t.ok(made.healthy())
  const { unjudged, later } = await bad
  t.ok(unjudged === 'exhausts' || (await later)?.exhausts === true)
})

/** The thread for heavy requests is started by the first, and warm after some. */
async function heavyIsReady (made: ScoringPool): Promise<void> {
  for (let inFull = 0, tries = 0; inFull < 20 && tries < 200; tries++) {
    const { score } = await made.ask(observation({ body: new Uint8Array(30_000).fill(97 + tries % 20) }))
    inFull = score.degraded ? 0 : inFull + 1
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test('ring: heavy requests of one client that stand in line behind each other are all scored', async (t) => {
  const made = await pool(t, { mode: 'ring' })
  const article = (i: number): Uint8Array => new TextEncoder().encode(JSON.stringify({ text: `${i} and so on, a plain line of a story. `.repeat(1_500).slice(0, 60_000) }))
  await heavyIsReady(made)
  const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => made.ask(observation({ body: article(i) }), own())))
  t.ok(answers.every(({ unjudged }) => unjudged === null))
  // They take 3 ms each: on a machine that has the time for them, none is answered in a hurry.
  if ((loadavg()[0] as number) <= availableParallelism()) t.ok(answers.every(({ score }) => !score.degraded))
})

t.test('ring: what one client brings beyond its budget is refused as its backlog, others have their turns', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  const dear = (client: string, i: number): Promise<Answer> =>
    made.ask(observation({ client, url: `/fault/busy/12?${i}`, body: new Uint8Array(40_000).fill(97) }), own(client))
  await heavyIsReady(made)
  for (let tries = 0; tries < 5; tries++) await dear('ip:192.0.2.1', 1_000 + tries)
  const flood = Array.from({ length: 60 }, (_, i) => dear('ip:192.0.2.1', i))
  const others = await Promise.all(Array.from({ length: 4 }, (_, i) => dear('ip:192.0.2.2', i)))
  const hostile = await Promise.all(flood)
  t.ok(others.every(({ unjudged }) => unjudged === null))
  const refused = hostile.filter(({ unjudged }) => unjudged === 'backlog').length
  t.comment(`${refused} of 60 refused, ${hostile.filter(({ score }) => !score.degraded).length} scored`)
  t.ok(refused >= 30)
  const inHurry = hostile.filter(({ score, unjudged }) => score.degraded && unjudged === null).length
  t.ok(inHurry <= 17, `${inHurry} in a hurry: on a machine that is slow what twice its budget buys, 200 ms, and no more`)
})

t.test('ring: heavy requests find their line again after threads ended while their clients were told to wait', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  await heavyIsReady(made)
  const heavy = (client: string, url: string, i: number): Promise<Answer> =>
    made.ask(observation({ client, url: `${url}?${i}`, body: new Uint8Array(40_000).fill(97) }), own(client))
  for (let round = 0; round < 5; round++) {
    const dear = Array.from({ length: 12 }, (_, i) => heavy('ip:192.0.2.1', '/fault/busy/14', i))
    const ending = heavy('ip:192.0.2.1', '/fault/exit', round)
    const more = Array.from({ length: 5 }, (_, i) => heavy('ip:192.0.2.1', '/fault/busy/14', 100 + i))
    const answers = await Promise.all([...dear, ending, ...more])
    await Promise.all(answers.map(({ later }) => later))
  }
  await untilEmpty(t, made)
  await heavyIsReady(made)
  const innocent = await made.ask(observation({ body: new Uint8Array(40_000).fill(98) }), own('ip:198.51.100.9'))
  t.notOk(innocent.score.degraded)
})

t.test('ring: a text that exhausts is charged and stopped also behind its client\'s own backlog', async (t) => {
  const made = await pool(t, { mode: 'ring', workerUrl: faulty })
  await heavyIsReady(made)
  const heavy = (url: string, i: number): Promise<Answer> =>
    made.ask(observation({ client: 'ip:192.0.2.1', url: `${url}?${i}`, body: new Uint8Array(40_000).fill(97) }), own('ip:192.0.2.1'))
  const dear = Array.from({ length: 10 }, (_, i) => heavy('/fault/busy/20', i))
  const hanging = [heavy('/fault/hang', 1), heavy('/fault/hang', 2)]
  await Promise.all(dear)
  const ends = await Promise.all(hanging.map(async (asked) => {
    const { unjudged, later } = await asked
    return { unjudged, exhausts: unjudged === 'exhausts' || (await later)?.exhausts === true }
  }))
  for (const { unjudged, exhausts } of ends) {
    t.ok(exhausts || unjudged === 'backlog', 'whatever a thread was given is charged')
  }
  await untilEmpty(t, made)
})

t.test('ring: long samples take their time by right', async (t) => {
  const made = await pool(t, { mode: 'ring' })
  await heavyIsReady(made)
  const row = (i: number): string => `${i},"a ${i % 7} of 'things' & <b>more</b>",2026-01-${i % 28 + 1},${i * 31 % 977}\n`
  const csv = new TextEncoder().encode(Array.from({ length: 9_000 }, (_, i) => row(i)).join(''))
  const { unjudged } = await made.ask(observation({ body: csv }), { client: 'key:gateway', secondTry: false, patient: true })
  t.equal(unjudged, null, `${csv.length} bytes`)
  t.equal(made.deaths.length, 0)
})
