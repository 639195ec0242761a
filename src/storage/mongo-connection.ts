import type { Db, MongoClient } from 'mongodb'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import { systemClock } from '../std/clock.ts'
import { withDeadline } from '../std/deadline.ts'
import type { HealthState } from './health.ts'
import type { StorageLog } from './log.ts'
import { isLostReply, isTimeout, isUnavailable, typedError, unwrapped } from './mongo-failure.ts'
import { MongoServer } from './mongo-server.ts'
import type { Patience } from './port.ts'
import { createClient, isRemoteWithoutTls } from './mongo-uri.ts'

/**
 * The connection to MongoDB: one client per process, and the one way in, `call`.
 *
 * Owns the pool and the deadline: a call has 2 s (background work: 5 s) for everything, waiting for a server, sending,
 * and retrying a lost reply. With the database down the breaker (mongo-server.ts) answers within milliseconds.
 * Durations are real time even where tests own the wall clock: sockets do not wait for a test.
 */
export interface Attempt { timeoutMS: number, retried: boolean }

interface ConnectionOptions {
  uri: string
  database: string
  log: StorageLog
  onBreaker? (value: number): void
  /** Runs when the server answers again, before anyone else may ask: the migration of a degraded start. */
  beforeUp (): Promise<void>
}

const DEADLINE_MS = 2000
const BACKGROUND_DEADLINE_MS = 5000
/** So that the driver gives up (and drops its socket) before the caller does. */
const DEADLINE_MARGIN_MS = 50
/** Sends in all of one operation whose reply was lost; each waits for the driver to look at the server anew. */
const ATTEMPTS_MAX = 3
const RETRY_MS_LEFT_MIN = 200

export class MongoConnection {
  readonly db: Db
  readonly #client: MongoClient
  readonly #server: MongoServer
  readonly #options: ConnectionOptions
  #atomicUpdates: boolean | null = null

  /** @throws ConfigError for a URI that the driver does not take */
  constructor (options: ConnectionOptions) {
    const { uri, database, log, onBreaker } = options
    if (isRemoteWithoutTls(uri)) log.warn({ store: 'mongodb' }, 'MONGODB_URI names a remote host without TLS')
    this.#options = options
    this.#client = createClient(uri)
    this.db = this.#client.db(database)
    this.#server = new MongoServer({
      client: this.#client,
      log,
      onBreaker,
      knock: (isFirst) => this.#knock(isFirst)
    })
  }

  get health (): HealthState {
    return this.#server.health
  }

  /** False on servers whose updates may race (see mongo-claim.ts). Known once the server was reached. */
  get atomicUpdates (): boolean {
    return this.#atomicUpdates ?? true
  }

  /** A try to reach the server; true when it answered. Never throws; the first ends early when every server refuses. */
  reach (): Promise<boolean> {
    return this.#server.reach()
  }

  /**
   * Runs `work` with the time left of the deadline; `retried` says that an earlier try may have been done.
   *
   * @throws NEKO_ERR_STORE_*
   */
  async call<T> (
    collection: string,
    work: (attempt: Attempt) => Promise<T>,
    patience: Patience = 'request'
  ): Promise<T> {
    const isBackground = patience === 'background'
    const mayAsk = isBackground ? this.#server.allowsBackground() : this.#server.allows()
    if (!mayAsk) throw new NEKO_ERR_STORE_UNAVAILABLE()
    const endMs = systemClock.monotonic() + (isBackground ? BACKGROUND_DEADLINE_MS : DEADLINE_MS)
    for (let attempt = 1; ; attempt++) {
      const leftMs = Math.max(DEADLINE_MARGIN_MS + 1, endMs - systemClock.monotonic())
      const timeoutMS = Math.floor(leftMs - DEADLINE_MARGIN_MS)
      try {
        const value = await withDeadline(work({ timeoutMS, retried: attempt > 1 }), leftMs, late)
        if (!isBackground) this.#server.succeed()
        return value
      } catch (thrown) {
        const error = unwrapped(thrown)
        const hasTime = endMs - systemClock.monotonic() > RETRY_MS_LEFT_MIN
        if (isLostReply(error) && attempt < ATTEMPTS_MAX && hasTime && !this.#server.isClosed) continue
        const isLate = error instanceof LateError || isTimeout(error)
        if ((isUnavailable(error) || isLate) && !(isBackground && isLate)) this.#server.fail(error)
        throw error instanceof LateError
          ? Object.assign(new NEKO_ERR_STORE_UNAVAILABLE(), { cause: error })
          : typedError(error, collection)
      }
    }
  }

  async close (): Promise<void> {
    this.#server.close()
    // A server that hangs must not keep us.
    await withDeadline(this.#client.close(), DEADLINE_MS, late).catch(() => {})
  }

  async #knock (isFirst: boolean): Promise<boolean> {
    // Asked for by name until it worked once: the driver's own way in never looks again after 5 s in vain ("Topology is
    // closed").
    if (isFirst) await withDeadline(this.#client.connect(), BACKGROUND_DEADLINE_MS, late)
    const timeoutMS = BACKGROUND_DEADLINE_MS - DEADLINE_MARGIN_MS
    const startMs = systemClock.monotonic()
    await withDeadline(this.db.command({ ping: 1 }, { timeoutMS }), BACKGROUND_DEADLINE_MS, late)
    const isPrompt = systemClock.monotonic() - startMs <= DEADLINE_MS
    this.#atomicUpdates ??= await hasAtomicUpdates(this.db, this.#options.log)
    await this.#options.beforeUp()
    return isPrompt
  }
}

async function hasAtomicUpdates (db: Db, log: StorageLog): Promise<boolean> {
  const info = await db.command({ buildInfo: 1 }, { timeoutMS: BACKGROUND_DEADLINE_MS })
  if (!('ferretdbVersion' in info)) return true
  log.info(
    { store: 'mongodb' },
    'the server is FerretDB, whose updates may race: NEKO claims a document before it compares and sets'
  )
  return false
}

class LateError extends Error {
  readonly code = 'ETIMEDOUT'
}

function late (): Error {
  return new LateError('MongoDB did not answer in time')
}
