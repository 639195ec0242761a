import { loadConfig, readEnvironment } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import type { Json } from '../std/json.ts'
import type { Logging } from '../telemetry/logger.ts'
import { EXIT_CRASH } from './ending.ts'
import { requireHeld } from './fixed-settings.ts'
import type { Host, PrimaryDuties } from './host.ts'
import { Supervisor } from './supervisor.ts'
import { CLUSTER_STATUS_TOPIC } from './worker.ts'

/** Below the hard exit, so that the primary still can say that it had to kill. */
const KILL_BEFORE_EXIT_MS = 1000

/** The primary of WORKERS > 1: signals and control verbs on one side, the supervisor on the other. */
export async function runPrimary (host: Host): Promise<void> {
  const { config, logging, control, clock, hub, options } = host
  const held: { duties?: PrimaryDuties, endedBefore: boolean } = { endedBefore: false }
  // Before any fork: a port in use is said once, by one process.
  await host.openMetrics(() => supervisor.renderMetrics())
  const supervisor: Supervisor = new Supervisor({
    config,
    prepared: host.prepared,
    workerFile: options.workerFile,
    logging,
    clock,
    hub,
    onEnded () {
      if (held.duties === undefined) held.endedBefore = true
      else held.duties.workerEnded?.()
    }
  })
  const status = (): Json => host.status(supervisor.processes()) as unknown as Json
  const reload = createReload(supervisor, logging)

  const stop = async (why: string): Promise<void> => {
    await host.stop(() => supervisor.stop(config.shutdownTimeoutMs - KILL_BEFORE_EXIT_MS), why)
    await held.duties?.close()
  }
  process.on('exit', () => supervisor.killAll())
  // A second signal finds the first drain under way and changes nothing.
  options.orders.take({
    stop: (why) => { stop(why).then(() => host.leave(0), (error) => host.fail(error)) },
    reload () { reload(() => {}).catch(() => { /* said by the reload itself */ }) }
  })

  supervisor.fleet.answer(CLUSTER_STATUS_TOPIC, status)
  control.handle('status', status)
  control.handle('reload', (_args, progress) => reload(progress))
  control.handle('stop', async () => {
    await stop('neko stop')
    setImmediate(() => host.leave(0))
    return null
  })
  control.forward((verb, args, progress) => supervisor.forward(verb, args, progress))

  supervisor.hopeless.then((code) => {
    supervisor.killAll()
    host.leave(code)
  }, () => host.leave(EXIT_CRASH))
  supervisor.ready.then((url) => host.announce(url), () => {})
  // Last of all: an order to stop must not wait for it.
  held.duties = await options.onPrimary?.({
    fleet: supervisor.fleet,
    config,
    clock,
    logging,
    liveProcessIds: () => hub.members(),
    currentConfig: () => supervisor.config()
  })
  if (held.endedBefore) held.duties?.workerEnded?.()
}

/** One reload at a time; one asked for meanwhile runs after it, and further ones join that. */
function createReload (
  supervisor: Supervisor,
  { log }: Logging
): (progress: (message: Json) => void) => Promise<Json> {
  let running: Promise<Json> | null = null
  let next: Promise<Json> | null = null
  const reloadOnce = async (progress: (message: Json) => void): Promise<Json> =>
    supervisor.reload(nextConfig(supervisor.config(), log), progress)
  return (progress) => {
    if (running === null) {
      running = reloadOnce(progress).finally(() => { running = null })
      return running
    }
    next ??= running.catch(() => null).then(() => {
      next = null
      running = reloadOnce(progress).finally(() => { running = null })
      return running
    })
    return next
  }
}

/** The configuration as it is now. @throws ConfigError, which is in the log by then, whoever asked for the reload */
function nextConfig (current: Config, log: Logging['log']): Config {
  try {
    const next = loadConfig(readEnvironment())
    requireHeld(current, next)
    return next
  } catch (error) {
    log.error({ reason: (error as Error).message }, 'not reloaded: the configuration in force stays')
    throw error
  }
}
