import t from 'tap'
import { checkPrograms } from './real-programs.ts'

// One minute's worth for each, within a minute. test/nightly/programs.ts goes on for five.
t.setTimeout(180_000)

t.test('programs that use their whole tier are neither challenged nor held', { timeout: 180_000 }, async (t) => {
  await checkPrograms(t, { times: 1, spanMs: 45_000, processes: 1 })
})
