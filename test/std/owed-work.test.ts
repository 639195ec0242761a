import t from 'tap'
import { createOwedWork } from '../../src/std/owed-work.ts'

// Pauses hold up no exit: the test does.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

t.test('owed work is tried until it succeeds, tells of the first failure and of the success behind them', async (t) => {
  const heard: string[] = []
  let runs = 0
  const ended = Promise.withResolvers<number>()
  const owed = createOwedWork({
    async work () { if (++runs < 4) throw new Error(`try ${runs}`) },
    onFailing: (error) => heard.push((error as Error).message),
    onRecovered: (failures) => ended.resolve(failures),
    retryMsMin: 1,
    retryMsMax: 4
  })
  owed.owe()
  // A second debt meanwhile joins the tries that are under way.
  owed.owe()
  t.equal(await ended.promise, 3)
  t.same(heard, ['try 1'])
})

t.test('what is owed while the work runs has it run once more, and never twice at a time', async (t) => {
  let runs = 0
  let atOnce = 0
  let most = 0
  const gates: Array<() => void> = []
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const owed = createOwedWork({
    async work () {
      most = Math.max(most, ++atOnce)
      const gate = new Promise<void>((resolve) => { gates.push(resolve) })
      begun[runs++]?.resolve()
      await gate
      atOnce--
    },
    onFailing: () => {},
    retryMsMin: 1,
    retryMsMax: 1
  })
  owed.owe()
  await begun[0]!.promise
  for (let i = 0; i < 5; i++) owed.owe()
  gates[0]!()
  await begun[1]!.promise
  gates[1]!()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(runs, 2)
  t.equal(most, 1)
})

t.test('closed, nothing is tried again', async (t) => {
  let runs = 0
  const failed = Promise.withResolvers<void>()
  const owed = createOwedWork({
    async work () {
      runs++
      throw new Error('never')
    },
    onFailing: () => failed.resolve(),
    retryMsMin: 1,
    retryMsMax: 1
  })
  owed.owe()
  await failed.promise
  owed.close()
  owed.owe()
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(runs, 1)
})

t.test('a listener that throws leaves the work owed, and what is owed later is done', async (t) => {
  let runs = 0
  const done = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const thrower = (): never => { throw new Error('a listener') }
  const owed = createOwedWork({
    async work () {
      if (++runs === 1) throw new Error('away')
      done[runs - 2]!.resolve()
    },
    onFailing: thrower,
    onRecovered: thrower,
    retryMsMin: 1,
    retryMsMax: 1
  })
  owed.owe()
  await done[0]!.promise
  await new Promise((resolve) => setImmediate(resolve))
  owed.owe()
  await done[1]!.promise
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(runs, 3, 'what succeeded is not done again')
})
