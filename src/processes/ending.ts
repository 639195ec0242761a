import { ConfigError } from '../config/config.ts'
import type { Logging } from '../telemetry/logger.ts'
import type { Serving } from './serving.ts'

/** EX_CONFIG of sysexits.h: what the operator must mend. */
export const EXIT_CONFIG = 78
/** EX_SOFTWARE: what we must mend. */
export const EXIT_CRASH = 70

/** For the rooms to write down changes that they acknowledged, after an error nobody caught. */
const CRASH_CLOSE_MS = 1000

/** One line that says why the process cannot go on. A configuration error names its variable, never its value. */
export function fatalLine (error: unknown, logging: Logging): void {
  // A user who wants no log still must learn why nothing runs.
  if (logging.log.level === 'silent') logging.log.level = 'fatal'
  if (error instanceof ConfigError) logging.log.fatal({ variable: error.variable, message: error.message })
  else logging.log.fatal({ err: error }, 'cannot start')
  logging.flush()
}

/**
 * After an error nobody caught the state of the process is unknown: it says why, with the stack, takes nothing new,
 * lets the rooms flush for a second, and ends. A process is replaced more cheaply than a wrong answer is found.
 */
export function crashOn (
  options: { logging: Logging, exit: (code: number) => never, serving: Promise<Serving> }
): void {
  const { logging, exit } = options
  let isCrashing = false
  const crash = (origin: string) => (error: unknown): void => {
    logging.log.fatal({ err: error }, origin)
    logging.flush()
    if (isCrashing) return
    isCrashing = true
    setTimeout(() => exit(EXIT_CRASH), CRASH_CLOSE_MS)
    const close = async (): Promise<void> => {
      const { app } = await options.serving
      // In-flight requests fail now, all at the same moment, instead of dribbling out of a process nobody trusts.
      app.server.close()
      app.server.closeAllConnections()
      await app.close()
    }
    close().catch(() => { /* the cause is in the log already */ }).finally(() => {
      logging.flush()
      exit(EXIT_CRASH)
    })
  }
  process.on('uncaughtException', crash('uncaught exception'))
  process.on('unhandledRejection', crash('unhandled rejection'))
}
