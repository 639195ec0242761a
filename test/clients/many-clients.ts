import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createHistory } from '../../src/clients/history.ts'
import { createWindowLimiter } from '../../src/limits/window.ts'
import { systemClock } from '../../src/std/clock.ts'

export interface Met {
  /** By which the process grew over what as many requests of few clients take, garbage collected. */
  grownMb: number
  /** CPU microseconds per client, least of the first and of the last three portions. */
  firstUs: number
  lastUs: number
}

const RATE = { max: 100, windowSeconds: 60, blockSeconds: 0 }
const PORTION = 20_000
const WARM_UP = 60_000
const HEADERS = ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Accept', '*/*']

/** Each comes once, is limited, remembered and not found. Receipts are bounded by themselves, whoever asks. */
export function meetClients (clients: number): Met {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const history = createHistory({ clock: systemClock })
  const limiter = createWindowLimiter({ clock: systemClock, capacity: 131_072 })

  function meet (i: number): void {
    const address = `${10 + (i >> 24)}.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`
    const client = 'ip:' + address
    const limit = limiter.take('standard', client, RATE)
    history.observe({ client, method: 'GET', url: '/item/' + (i % 1000), headers: HEADERS, body: null, route: null }, { address, limit })
    history.settle({ client, address, status: 404, action: 'ALLOW' })
  }

  // Requests of few clients first: they compile the code and give the young generation its size.
  for (let i = 0; i < WARM_UP; i++) meet(16_000_000 + (i % 500))
  collect()
  const before = process.memoryUsage().rss
  const portions: number[] = []
  for (let from = 0; from < clients; from += PORTION) {
    const used = process.threadCpuUsage()
    for (let i = from; i < Math.min(clients, from + PORTION); i++) meet(i)
    const { user, system } = process.threadCpuUsage(used)
    portions.push((user + system) / PORTION)
  }
  collect()
  const least = (some: number[]): number => Math.min(...some)
  return { grownMb: (process.memoryUsage().rss - before) / 1_048_576, firstUs: least(portions.slice(0, 3)), lastUs: least(portions.slice(-3)) }
}
