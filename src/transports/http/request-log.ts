import type { FastifyBaseLogger } from 'fastify'

type Options = Parameters<FastifyBaseLogger['child']>[1]

/**
 * A request's logger, made when the request has something to say: to make pino's child for each of them costs
 * main 2.6 % of a small GET, and hardly any is used (the one line per request is the walk's, on the
 * process's own logger).
 */
class RequestLog {
  readonly #parent: FastifyBaseLogger
  readonly #bindings: Record<string, unknown>
  readonly #options: Options
  #own: FastifyBaseLogger | null = null

  constructor (parent: FastifyBaseLogger, bindings: Record<string, unknown>, options: Options) {
    this.#parent = parent
    this.#bindings = bindings
    this.#options = options
  }

  get #log (): FastifyBaseLogger {
    this.#own ??= this.#parent.child(this.#bindings, this.#options)
    return this.#own
  }

  get level (): string { return this.#parent.level }
  fatal (...said: unknown[]): void { Reflect.apply(this.#log.fatal, this.#log, said) }
  error (...said: unknown[]): void { Reflect.apply(this.#log.error, this.#log, said) }
  warn (...said: unknown[]): void { Reflect.apply(this.#log.warn, this.#log, said) }
  info (...said: unknown[]): void { Reflect.apply(this.#log.info, this.#log, said) }
  debug (...said: unknown[]): void { Reflect.apply(this.#log.debug, this.#log, said) }
  trace (...said: unknown[]): void { Reflect.apply(this.#log.trace, this.#log, said) }
  silent (): void {}
  child (bindings: Record<string, unknown>, options?: Options): FastifyBaseLogger {
    return this.#log.child(bindings, options)
  }
}

/** For Fastify's `childLoggerFactory`. */
export function requestLog (
  parent: FastifyBaseLogger,
  bindings: Record<string, unknown>,
  options: Options
): FastifyBaseLogger {
  return new RequestLog(parent, bindings, options) as unknown as FastifyBaseLogger
}
