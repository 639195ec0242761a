// Five minutes of what test/clients/real-programs.foreign.test.ts does for one: each uses its whole tier five times over.
import t from 'tap'
import { checkPrograms } from '../clients/real-programs.ts'

t.setTimeout(600_000)

// One process: a worker whose primary does not answer in time decides by its share alone, which is less than the whole.
t.test('programs that use their whole tier for five minutes are neither challenged nor held', { timeout: 580_000 }, async (t) => {
  await checkPrograms(t, { times: 5, spanMs: 60_000, processes: 1 })
})
