import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'

export type { Logger } from 'pino'

/**
 * Log lines: one JSON object per event on stdout (12-factor), each with the process that wrote it. Lines are handed to
 * the system in the background, because a slow reader of stdout must not hold a request; `flush` is for the moments
 * before an exit. Nothing here knows a domain word.
 */
export interface Logging {
  log: Logger
  /** Everything logged so far is written when this returns. Never throws: a closed stdout must not stop an exit. */
  flush (): void
}

/** Where credentials travel; the last line of defence, since callers log no headers or bodies at all. */
const REDACTED = [
  'headers.authorization', 'headers.cookie', 'headers["x-api-key"]', 'headers["set-cookie"]',
  'req.headers.authorization', 'req.headers.cookie', 'req.headers["x-api-key"]', 'res.headers["set-cookie"]',
  'password', 'token', 'accessToken', 'refreshToken', 'secret', 'apiKey',
  '*.password', '*.token', '*.accessToken', '*.refreshToken', '*.secret', '*.apiKey'
]

/**
 * Bytes of log that may wait for a reader of stdout that does not read: beyond it lines are dropped rather
 * than memory grown.
 */
const BACKLOG_BYTES_MAX = 16 * 1_048_576

export interface LoggerOptions {
  level: string
  /** 12 characters, new at each start; `primary` has slot null. */
  processId: string
  slot: number | null
  destination?: DestinationStream & { flushSync?: () => void }
}

/** The log of one process; without `destination` to stdout, written in the background. */
export function createLogger (options: LoggerOptions): Logging {
  const destination = options.destination ?? pino.destination({ dest: 1, sync: false, maxLength: BACKLOG_BYTES_MAX })
  const log = pino({
    level: options.level,
    base: { process: options.processId, slot: options.slot ?? 'primary', pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: REDACTED, censor: '[redacted]' }
  }, destination)
  return {
    log,
    flush () {
      try {
        destination.flushSync?.()
      } catch { /* stdout is gone (EPIPE) or was never ready: there is nobody left to tell */ }
    }
  }
}
