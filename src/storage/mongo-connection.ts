import { type Db, MongoClient, type MongoClientOptions, MongoError } from 'mongodb'
import { ConfigError } from '../config/config.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import { BREAKER_STATE_VALUE, type Breaker, createBreaker } from '../std/breaker.ts'
import { backoffMs, withDeadline } from '../std/deadline.ts'
import { systemClock } from '../std/clock.ts'
import { type HealthState, createHealthState } from './health.ts'
import type { StorageLog } from './log.ts'
import { type MongoReason, isLostReply, isUnavailable, reasonOf, typedError, unwrapped } from './mongo-failure.ts'

/**
 * The connection to MongoDB: one client per process, its health, and the one way in, `call`.
 *
 * Owns the pool, the breaker before it and the pings. A call has 2 s for everything: waiting for a server, sending,
 * retrying a lost reply. With the database down the breaker answers within milliseconds; only pings knock, with
 * backoff and jitter, for ever, so that it heals without a restart and no user's request is the trial. Durations are
 * real time even where tests own the wall clock: sockets do not wait for a test.
 */
export interface MongoConnection {
  readonly db: Db
  readonly health: HealthState
  /** False on servers whose updates may race (see mongo-claim.ts). Known once the server was reached. */
  readonly atomicUpdates: boolean
  /**
   * Runs `work` with what is left of the deadline; `retried` says that an earlier try may have been done.
   * @throws NEKO_ERR_STORE_*
   */
  call<T> (collection: string, work: (attempt: Attempt) => Promise<T>): Promise<T>
  /** A try to reach the server; true when it answered. Never throws; the first ends early when every server refuses. */
  reach (): Promise<boolean>
  close (): Promise<void>
}

export interface Attempt { timeoutMS: number, retried: boolean }

const DEADLINE_MS = 2000
/** So that the driver gives up (and drops its socket) before the caller does. */
const DEADLINE_MARGIN_MS = 50
/** Sends in all of one operation whose reply was lost; each waits for the driver to look at the server anew. */
const ATTEMPTS_MAX = 3
const RETRY_MS_LEFT_MIN = 200
const PING_MS = 60_000
const RECONNECT_MS_MIN = 250
const RECONNECT_MS_MAX = 5000
const BREAKER_FAILURES_MAX = 3

/** Pool and timeouts; whatever the URI says itself wins. */
const OPTIONS: Readonly<MongoClientOptions> = {
  minPoolSize: 2,
  maxPoolSize: 10,
  maxIdleTimeMS: 10_000,
  serverSelectionTimeoutMS: 5000,
  socketTimeoutMS: 45_000,
  waitQueueTimeoutMS: 2000,
  connectTimeoutMS: 5000,
  retryWrites: true,
  retryReads: true,
  w: 'majority',
  appName: 'neko-defense-api',
  ignoreUndefined: true
}

/** The driver lets an option object win over the URI: so leave out what the URI names. */
export function clientOptions (uri: string): MongoClientOptions {
  const named = new Map(
    [...uri.split('?').slice(1).join('?').matchAll(/(?:^|&)([^=&]+)=([^&]*)/g)].map((
      match
    ) => [match[1]!.toLowerCase(), match[2]!])
  )
  const options: MongoClientOptions = Object.fromEntries(
    Object.entries(OPTIONS).filter(([name]) => !named.has(name.toLowerCase()))
  )
  // One end of the pool named: ours of the other end must not cross it, or the driver never connects (0 is no bound).
  const [least, most] = [Number(named.get('minpoolsize') ?? NaN), Number(named.get('maxpoolsize') ?? NaN)]
  if (most > 0 && options.minPoolSize !== undefined) options.minPoolSize = Math.min(options.minPoolSize, most)
  if (least > 0 && options.maxPoolSize !== undefined) options.maxPoolSize = Math.max(options.maxPoolSize, least)
  return options
}

/** @throws ConfigError naming MONGODB_URI; never the driver's own words, which may repeat a password. */
function createClient (uri: string): MongoClient {
  try {
    return new MongoClient(uri, clientOptions(uri))
  } catch {
    throw new ConfigError(
      'MONGODB_URI',
      'cannot be used: a host, or an option behind the question mark, is not what the MongoDB driver takes'
    )
  }
}

/** True when the URI names a host beyond this machine and no TLS: credentials and data would travel in the clear. */
export function isRemoteWithoutTls (uri: string): boolean {
  // mongodb+srv means TLS, unless it says otherwise.
  if (
    /[?&](tls|ssl)=true/i.test(uri) || (uri.startsWith('mongodb+srv:') && !/[?&](tls|ssl)=false/i.test(uri))
  ) return false
  const hosts = uri.replace(/^mongodb(\+srv)?:\/\//, '').replace(/[/?].*$/s, '').replace(/^.*@/, '').split(',')
  return !hosts.every((host) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|.*%2F.*)(:\d+)?$/i.test(host))
}

export interface ConnectionOptions {
  uri: string
  database: string
  log: StorageLog
  onBreaker? (value: number): void
  /** Runs when the server answers again, before anyone else may ask: the migration of a degraded start. */
  beforeUp (): Promise<void>
}

export function connectMongo (options: ConnectionOptions): MongoConnection {
  const { uri, database, log, onBreaker, beforeUp } = options
  if (isRemoteWithoutTls(uri)) log.warn({ store: 'mongodb' }, 'MONGODB_URI names a remote host without TLS')
  const client = createClient(uri)
  const db = client.db(database)
  const health = createHealthState('mongodb', log)
  const breaker: Breaker = createBreaker({
    clock: systemClock,
    failuresMax: BREAKER_FAILURES_MAX,
    openMsMin: RECONNECT_MS_MIN,
    openMsMax: RECONNECT_MS_MAX,
    onState: (state) => onBreaker?.(BREAKER_STATE_VALUE[state])
  })
  let closed = false
  let pingTimer: NodeJS.Timeout | null = null
  let pinging = false
  let failedPings = 0
  // Until the first answer nothing goes through: the indexes may not be there yet.
  let reached = false
  let atomicUpdates: boolean | null = null
  let heartbeatReason: MongoReason | null = null

  function schedulePing (delayMs: number): void {
    if (pingTimer !== null) clearTimeout(pingTimer)
    if (!closed) pingTimer = setTimeout(ping, delayMs).unref()
  }

  /** Never two at once; ends in a state and in the date of the next one. */
  async function ping (): Promise<boolean> {
    if (closed || pinging) return false
    pinging = true
    breaker.allows()
    try {
      // Asked for by name until it worked once: the driver's own way in never looks again after 5 s in vain
      // ("Topology is closed").
      if (!reached) await withDeadline(client.connect(), DEADLINE_MS, late)
      await withDeadline(db.command({ ping: 1 }, { timeoutMS: DEADLINE_MS - DEADLINE_MARGIN_MS }), DEADLINE_MS, late)
      atomicUpdates ??= await hasAtomicUpdates(db, log)
      await beforeUp()
      failedPings = 0
      reached = true
      breaker.succeed()
      health.set({ up: true, reason: null })
      return true
    } catch (error) {
      failedPings++
      noteDown(error)
      return false
    } finally {
      pinging = false
      schedulePing(health.current().up ? PING_MS : backoffMs(failedPings, RECONNECT_MS_MIN, RECONNECT_MS_MAX))
    }
  }

  function noteDown (error: unknown): void {
    if (closed) return
    breaker.fail()
    const wasUp = health.current().up
    const reason = reasonOf(error)
    // A call that waited in vain for a server ends as a timeout, or with the driver's own pool closed: why
    // there is none, its heartbeat knows.
    health.set({
      up: false,
      reason: reason === 'timeout' || reason === 'other' ? heartbeatReason ?? reason : reason
    }, error)
    if (wasUp) schedulePing(RECONNECT_MS_MIN * Math.random())
  }

  async function call<T> (collection: string, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    if (closed || !reached || breaker.state !== 'closed') throw new NEKO_ERR_STORE_UNAVAILABLE()
    const endMs = systemClock.monotonic() + DEADLINE_MS
    for (let attempt = 1; ; attempt++) {
      const leftMs = Math.max(DEADLINE_MARGIN_MS + 1, endMs - systemClock.monotonic())
      try {
        const value = await withDeadline(
          work({ timeoutMS: Math.floor(leftMs - DEADLINE_MARGIN_MS), retried: attempt > 1 }),
          leftMs,
          late
        )
        if (breaker.state === 'closed') breaker.succeed()
        return value
      } catch (thrown) {
        const error = unwrapped(thrown)
        const again = isLostReply(error) && attempt < ATTEMPTS_MAX &&
          endMs - systemClock.monotonic() > RETRY_MS_LEFT_MIN
        if (again && !closed) continue
        if (isUnavailable(error) || error instanceof LateError) noteDown(error)
        throw error instanceof LateError
          ? Object.assign(new NEKO_ERR_STORE_UNAVAILABLE(), { cause: error })
          : typedError(error, collection)
      }
    }
  }

  // Noticed also while nobody asks: the driver looks at its servers every 10 s.
  client.on('serverHeartbeatSucceeded', () => { heartbeatReason = null })
  client.on('serverHeartbeatFailed', ({ failure }) => {
    heartbeatReason = reasonOf(failure)
    if (health.current().up && !pinging) schedulePing(0)
  })
  client.on('error', (error: MongoError) => noteDown(error))
  const refused = Promise.withResolvers<false>()
  client.on('topologyDescriptionChanged', ({ newDescription: { servers } }) => {
    const errors = [...servers.values()].map(({ error }) => error)
    if (reached || errors.length === 0 || errors.includes(null)) return
    noteDown(errors[0])
    refused.resolve(false)
  })

  return {
    db,
    health,
    get atomicUpdates () { return atomicUpdates ?? true },
    call,
    // When every server has refused, a start need not sit out the deadline: the ping goes on in the background.
    reach: () => reached ? ping() : Promise.race([ping(), refused.promise]),
    async close () {
      closed = true
      if (pingTimer !== null) clearTimeout(pingTimer)
      await withDeadline(client.close(), DEADLINE_MS, late).catch(() => { /* a server that hangs must not keep us */ })
    }
  }
}

async function hasAtomicUpdates (db: Db, log: StorageLog): Promise<boolean> {
  const info = await db.command({ buildInfo: 1 }, { timeoutMS: DEADLINE_MS })
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
  return new LateError('MongoDB did not answer within 2 s')
}
