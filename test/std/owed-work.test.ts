import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { createOwedWork } from '../../src/std/owed-work.ts'
import { turns, whileTimePasses } from '../time.ts'

t.test('owed work is tried until it succeeds, and tells of the first failure', async (t) => {
  const heard: string[] = []
  let runs = 0
  const ended = Promise.withResolvers<number>()
  const clock = createTestClock()
  const owed = createOwedWork({
    clock,
    async work () {
      if (++runs < 4) throw new Error(`try ${runs}`)
      ended.resolve(runs)
    },
    onFailing: (error) => heard.push((error as Error).message),
    retryMsMin: 1_000,
    retryMsMax: 4_000
  })
  owed.owe()
  // A second debt meanwhile joins the tries that are under way.
  owed.owe()
  t.equal(await whileTimePasses(clock, ended.promise, 500), 4)
  t.same(heard, ['try 1'])
})

t.test('what is owed while the work runs has it run once more, and never twice at a time', async (t) => {
  let runs = 0
  let atOnce = 0
  let most = 0
  const gates: Array<() => void> = []
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const clock = createTestClock()
  const owed = createOwedWork({
    clock,
    async work () {
      most = Math.max(most, ++atOnce)
      const gate = new Promise<void>((resolve) => { gates.push(resolve) })
      begun[runs++]?.resolve()
      await gate
      atOnce--
    },
    onFailing: () => {},
    retryMsMin: 1_000,
    retryMsMax: 1_000
  })
  owed.owe()
  await begun[0]!.promise
  for (let i = 0; i < 5; i++) owed.owe()
  gates[0]!()
  await begun[1]!.promise
  gates[1]!()
  await turns()
  t.equal(runs, 2)
  t.equal(most, 1)
})

t.test('closed, nothing is tried again', async (t) => {
  let runs = 0
  const failed = Promise.withResolvers<void>()
  const clock = createTestClock()
  const owed = createOwedWork({
    clock,
    async work () {
      runs++
      throw new Error('never')
    },
    onFailing: () => failed.resolve(),
    retryMsMin: 1_000,
    retryMsMax: 1_000
  })
  owed.owe()
  await failed.promise
  await turns()
  owed.close()
  owed.owe()
  clock.advance(10_000)
  await turns()
  t.equal(runs, 1)
})

t.test('a listener that throws leaves the work owed, and what is owed later is done', async (t) => {
  let runs = 0
  const done = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const thrower = (): never => { throw new Error('a listener') }
  const clock = createTestClock()
  const owed = createOwedWork({
    clock,
    async work () {
      if (++runs === 1) throw new Error('away')
      done[runs - 2]!.resolve()
    },
    onFailing: thrower,
    retryMsMin: 1_000,
    retryMsMax: 1_000
  })
  owed.owe()
  await whileTimePasses(clock, done[0]!.promise, 500)
  await turns()
  owed.owe()
  await done[1]!.promise
  clock.advance(10_000)
  await turns()
  t.equal(runs, 3, 'what succeeded is not done again')
})
