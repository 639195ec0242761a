import { enableCompileCache, flushCompileCache } from 'node:module'
import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { keepOrders } from './processes/orders.ts'

/**
 * The process: what `npm start` runs, and what the primary forks. Decides nothing: processes/run.ts tells
 * whether this is the primary, a worker or the one server. The application is imported late, so that a
 * primary never loads it. The only place that ends the process.
 */
// First of all: a signal that comes now counts.
const orders = keepOrders()
// V8 learns from receipts, which are kept, that what a request makes lives long, and makes it in the old generation
// from then on: there dead requests keep alive the young ones that they point at. 7 MB of 25 survived each collection
// instead of 0.7, and it took ten times as long.
setFlagsFromString('--no-allocation-site-pretenuring')
// On one processor V8's marking threads take it from us for 15 to 20 ms at a time: answers waited for 40 to 60 ms once
// in some seconds. Marking in steps of our own thread they wait for 10, and cost 4 % less (eight interleaved rounds).
if (availableParallelism() === 1) setFlagsFromString('--no-concurrent-marking')
// Compiled code is kept over starts, which saves 25-30 % of each.
const { directory } = enableCompileCache()
const { shareCompiledCode } = await import('./config/config.ts')
shareCompiledCode(directory)

const { run } = await import('./processes/run.ts')

await run({
  orders,
  workerFile: new URL(import.meta.url),
  exit: (code) => process.exit(code),
  prepare: async (config, { logging, clock }) => {
    const [{ prepareStore }, { firstLoginText }, { print }] = await Promise.all([
      import('./prepare.ts'),
      import('./processes/banner.ts'),
      import('./telemetry/output.ts')
    ])
    // Text for whoever started it, and not a log line, which would be kept.
    const showFirstLogin = (password: string): void => print(firstLoginText(config, password))
    const prepared = await prepareStore({ config, clock, log: logging.log, showFirstLogin })
    // Code that a first start compiled is there for the workers that are forked next.
    flushCompileCache()
    return { ...prepared }
  },
  build: async (parts) => {
    const { buildApp } = await import('./app.ts')
    return buildApp(parts)
  },
  // Figures that need one place for all workers of the host are counted where no worker's end can reset it.
  onPrimary: async ({ fleet, config, clock, logging, liveProcessIds, currentConfig }) => {
    const [{ createLimits }, { createStatsKeeper }, { createLogRecovery }] = await Promise.all([
      import('./limits/limiter.ts'),
      import('./receipts/stats-sharing.ts'),
      import('./prepare.ts')
    ])
    createStatsKeeper({ fleet, clock })
    const limits = createLimits({ rates: config.rates, fleet, clock, shadow: config.enforcement === 'shadow' })
    const recovering = createLogRecovery({ clock, log: logging.log, fleet, liveProcessIds, config: currentConfig })
    return {
      workerEnded: () => recovering.owe(),
      async close () {
        limits.close()
        await recovering.close()
      }
    }
  }
})
