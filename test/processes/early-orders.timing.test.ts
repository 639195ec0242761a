import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EARLY_GRACE_MS } from '../../src/processes/orders.ts'
import { slack, withinBar } from '../bar.ts'
import { spawnServer } from '../server.ts'
import { until } from './load.ts'

/** How soon an order counts that comes while a server starts; what it comes to is in early-orders.system. */
const SIGHUP = 1n

t.test('a start that is told to stop ends within a second', { skip: process.platform === 'linux' ? false : 'it takes /proc' }, async (t) => {
  for (const WORKERS of ['1', '2']) {
    const server = spawnServer(t, { env: { WORKERS } })
    await until('it listens to signals', () => {
      const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? '0'
      return (BigInt(`0x${caught}`) & SIGHUP) !== 0n
    })
    await sleep(100)
    const [startMs, orderedMs] = [performance.now(), Date.now()]
    server.signal('SIGTERM')
    t.equal((await server.ended).code, 0)
    withinBar(t, `from the order to the end of ${WORKERS}`, performance.now() - startMs, 1_000)
    const ready = server.logs().find(({ msg }) => msg === 'ready')
    t.ok(ready === undefined || Date.parse(String(ready.time)) <= orderedMs + slack(EARLY_GRACE_MS), 'nothing becomes ready after the order but what was under way')
  }
})
