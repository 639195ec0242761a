/** The log as storage needs it: pino's shape, so that any of Fastify's loggers fits, and tests can listen. */
export interface StorageLog {
  info (details: object, message: string): void
  warn (details: object, message: string): void
  error (details: object, message: string): void
}

export const silentLog: StorageLog = { info () {}, warn () {}, error () {} }
