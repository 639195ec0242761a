import cluster from 'node:cluster'
import { ConfigError, loadConfig, readEnvironment } from '../config/config.ts'
import { newProcessId } from '../std/id.ts'
import { createLogger } from '../telemetry/logger.ts'
import { surviveLostOutput } from '../telemetry/output.ts'
import { EXIT_CONFIG, EXIT_CRASH, fatalLine } from './ending.ts'
import { createHost } from './host.ts'
import type { RunOptions } from './host.ts'
import { StoppedEarly } from './orders.ts'
import { runPrimary } from './primary.ts'
import { runSingle } from './single.ts'
import { runWorker } from './worker.ts'

/** Cluster child, primary or the one server: which of them this process is. */
export async function run (options: RunOptions): Promise<void> {
  surviveLostOutput()
  if (cluster.isWorker) return runWorker({ build: options.build, exit: options.exit })
  const processId = newProcessId()
  let logging = createLogger({ level: 'info', processId, slot: null })
  try {
    const config = loadConfig(readEnvironment())
    const isAlone = config.workers === 1
    logging = createLogger({ level: config.logLevel, processId, slot: isAlone ? 0 : null, sharesOutput: !isAlone })
    const host = await createHost({ options, config, logging, processId })
    await (config.workers === 1 ? runSingle(host) : runPrimary(host))
  } catch (error) {
    if (error instanceof StoppedEarly) {
      logging.log.info({ why: options.orders.stopping.reason }, 'stopped before it was ready')
      logging.flush()
      options.exit(0)
    }
    fatalLine(error, logging)
    options.exit(error instanceof ConfigError ? EXIT_CONFIG : EXIT_CRASH)
  }
}
