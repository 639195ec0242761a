import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import { systemClock } from '../std/clock.ts'
import { createLineSink, type LineSink } from './line-sink.ts'

export type { Logger } from 'pino'

/**
 * Log lines: one JSON object per event on stdout (12-factor), each with the process that wrote it. Lines are handed to
 * the system in the background, because a slow reader of stdout must not hold a request; `flush` is for the moments
 * before an exit. Nothing here knows a domain word.
 */
export interface Logging {
  log: Logger
  /** Lines about requests, which their maker has serialized (transaction/request-line.ts). */
  requests: RequestLog
  /** Everything logged so far is written when this returns. Never throws: a closed stdout must not stop an exit. */
  flush (): void
}

/** The same destination, for lines of which there is one for each request. */
export interface RequestLog extends LineSink {
  /** False where LOG_LEVEL leaves these lines out. */
  readonly isOn: boolean
  /** How each of these lines begins: level and process, as pino writes them, up to the time. */
  readonly head: string
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
  /** Other processes write to the same stdout. */
  sharesOutput?: boolean
  destination?: Destination
}

type Destination = DestinationStream & {
  flushSync?: () => void
  /** Bytes that were taken and not written yet. */
  pendingBytes?: () => number
}

/** The log of one process; without `destination` to stdout, written in the background. */
export function createLogger (options: LoggerOptions): Logging {
  const portionBytes = options.sharesOutput === true ? PIPE_BYTES : PORTION_BYTES
  const destination = options.destination ?? standardOutput(portionBytes)
  const base = { process: options.processId, slot: options.slot ?? 'primary', pid: process.pid }
  const lines = createLineSink({
    clock: systemClock,
    write: (portion) => { destination.write(portion) },
    pendingBytes: destination.pendingBytes ?? (() => 0),
    portionBytes
  })
  const log = pino({
    level: options.level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: REDACTED, censor: '[redacted]' }
  }, {
    write (line: string) {
      // What was said about requests before comes before it.
      lines.flush()
      destination.write(line)
    },
    // pino calls it behind a fatal line.
    flushSync
  } as DestinationStream)

  function flushSync (): void {
    lines.flush()
    destination.flushSync?.()
  }

  return {
    log,
    requests: {
      ...lines,
      isOn: log.isLevelEnabled('info'),
      head: `{"level":"info",${JSON.stringify(base).slice(1, -1)},"time":"`
    },
    flush () {
      try {
        flushSync()
      } catch { /* stdout is gone (EPIPE) or was never ready: there is nobody left to tell */ }
    }
  }
}

/** PIPE_BUF of Linux: a write of more may be cut by one of another process. */
const PIPE_BYTES = 4_096
/** A write costs 20 us of several threads, whatever its size: some 70 lines share it. */
const PORTION_BYTES = 32_768

function standardOutput (portionBytes: number): Destination {
  const stdout = pino.destination({ dest: 1, sync: false, maxLength: BACKLOG_BYTES_MAX, maxWrite: portionBytes })
  let handed = 0
  let written = 0
  stdout.on('write', (bytes: number) => { written += bytes })
  stdout.on('drop', (text: string) => { written += text.length })
  // Characters are counted on their way in, and bytes on their way out: here both are known to be the same.
  stdout.on('drain', () => { written = handed })
  return {
    write (text) {
      handed += text.length
      stdout.write(text)
    },
    flushSync () {
      stdout.flushSync()
      written = handed
    },
    pendingBytes: () => handed - written
  }
}
