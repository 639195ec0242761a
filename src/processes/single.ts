import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Json } from '../std/json.ts'
import { crashOn } from './ending.ts'
import { createLocalFleet } from '../fleet/local.ts'
import type { Host } from './host.ts'
import { StoppedEarly, unlessStopped } from './orders.ts'
import { serve } from './serving.ts'
import type { Serving } from './serving.ts'
import type { ClusterStatus } from './status.ts'

/** The one server of WORKERS=1: no primary, no fork, the same rooms. systemd or the container starts it again. */
export async function runSingle (host: Host): Promise<void> {
  const { config, logging, control, clock, hub, options } = host
  const { stopping } = options.orders
  const fleet = createLocalFleet({ processId: host.processId, clock, log: logging.log, hub })
  const started = Promise.withResolvers<Serving>()
  started.promise.catch(() => { /* thrown below */ })
  const status = (): ClusterStatus => host.status([processStatus(host)])

  const drain = async (): Promise<void> => {
    const serving = await unlessStopped(stopping, started.promise)
    await serving.drain()
  }
  const stop = (why: string): Promise<void> =>
    host.stop(() => drain().catch((error) => { if (!(error instanceof StoppedEarly)) throw error }), why)
  // A second signal finds the first drain under way and changes nothing.
  options.orders.take({
    stop: (why) => { stop(why).then(() => host.leave(0), (error) => host.fail(error)) },
    reload: () => logging.log.warn('WORKERS=1 has no primary that could reload it: restart it')
  })
  control.handle('status', () => status() as unknown as Json)
  control.handle('reload', () => {
    throw new NEKO_ERR_INPUT_INVALID('WORKERS=1 has no primary that could reload it: restart it')
  })
  control.handle('stop', async () => {
    await stop('neko stop')
    setImmediate(() => host.leave(0))
    return null
  })
  crashOn({ logging, exit: options.exit, serving: started.promise })

  try {
    // Before the rooms open: a port in use is said first, and alone.
    await host.openMetrics(async () => {
      const { metrics } = (await started.promise).app
      metrics.processes.set({ state: 'ready' }, host.state === 'serving' ? 1 : 0)
      metrics.processes.set({ state: 'draining' }, host.state === 'draining' ? 1 : 0)
      return metrics.registry.metrics()
    })
    const serving = await serve(options.build, {
      config,
      fleet,
      clock,
      prepared: host.prepared,
      logging,
      control,
      clusterStatus: async () => status()
    }, stopping)
    started.resolve(serving)
    host.announce(serving.url)
  } catch (error) {
    started.reject(error)
    if (!(error instanceof StoppedEarly)) throw error
  }
}

function processStatus (host: Host): ClusterStatus['processes'][number] {
  const memory = process.memoryUsage()
  return {
    slot: 0,
    processId: host.processId,
    pid: process.pid,
    state: host.state === 'serving' ? 'ready' : host.state,
    uptimeSeconds: host.uptimeSeconds(),
    rssBytes: memory.rss,
    heapUsedBytes: memory.heapUsed,
    utilization: Math.round(performance.eventLoopUtilization().utilization * 1000) / 1000,
    restarts: 0
  }
}
