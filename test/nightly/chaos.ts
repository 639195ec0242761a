// What was acknowledged holds, and what is healthy stays up: twenty cycles of kills and returns on each store. The seed is
// in the title; CHAOS_SEED, CHAOS_CYCLES and CHAOS_STORES run one of them again.
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { runChaos } from '../chaos/chaos.ts'
import { startMongo } from '../services/mongo.ts'

const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1_000_000))
const cycles = Number(process.env.CHAOS_CYCLES ?? 20)
const stores = (process.env.CHAOS_STORES ?? 'sqlite,mongodb').split(',')
const SPAN_MS = 12_000
/**
 * Cycles on one store. The server of MongoDB's protocol that tests use reads a whole collection for each question: behind
 * five cycles its answers take longer than a request has.
 */
const ON_ONE_STORE: Record<string, number> = { sqlite: 20, mongodb: 4 }

t.setTimeout(2_400_000)

for (const store of stores) {
  const most = ON_ONE_STORE[store] ?? cycles
  for (let first = 0; first < cycles; first += most) {
    const count = Math.min(most, cycles - first)
    t.test(`cycles ${first} to ${first + count - 1} of kills and returns, ${store}, seed ${seed}`, { timeout: 1_200_000 }, async (t) => {
      const mongo = store === 'mongodb' ? await startMongo(t) : null
      if (store === 'mongodb' && mongo === null) return
      const report = (line: object): void => t.comment(JSON.stringify(line))
      const { violations, output, ...counts } = await runChaos(t, { seed, first, cycles: count, spanMs: SPAN_MS, long: true, mongo, report })
      report(counts)
      t.ok(counts.acknowledged > count * 50, `${counts.acknowledged} mutations were acknowledged`)
      if (violations.length > 0) {
        const path = join(tmpdir(), `neko-chaos-${store}-${seed}-${first}.log`)
        writeFileSync(path, output())
        t.comment(`what the servers wrote: ${path}`)
      }
      t.same(violations.slice(0, 20), [], `${violations.length} violations`)
    })
  }
}
