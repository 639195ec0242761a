/**
 * The cache's connection to Redis: the few commands that it needs, none of which waits longer than 100 ms or throws.
 *
 * Owns: the connection and whether it is worth asking. Never does: know what a key or value means; name a command that
 * walks or empties a database. In: keys and bytes; out: the reply, or undefined for a Redis that is away, stalls or
 * refuses.
 *
 * A stalled Redis would cost every look-up its 100 ms, so that after three failures in a row, each of a command that
 * was sent behind the one before, it is asked one trial at a time (std/breaker.ts): a pause of 100 ms, ours or Redis',
 * fails all commands that are under way, and is over. Each change of state is one line in the log.
 */
import { Redis } from 'ioredis'
import { createBreaker } from '../std/breaker.ts'
import type { Clock } from '../std/clock.ts'
import { withDeadline } from '../std/deadline.ts'
import type { Logger } from '../telemetry/logger.ts'

/**
 * What is under a key, and Redis' own time just before it was read: microseconds since the epoch. `run` is another one
 * after each start of Redis, and after each failover.
 */
export interface Look { nowMicros: number, frame: Buffer | null, run: string }

export interface RedisLink {
  look (key: string): Promise<Look | undefined>
  /** Takes the lock when it is free, then looks at the value: whoever had the lock may have left it there. */
  lockAndLook (
    lock: string, token: string, lockMs: number, key: string
  ): Promise<Look & { isMine: boolean } | undefined>
  /** Gives it back, when it is still this token's. */
  unlock (lock: string, token: string): Promise<void>
  setValue (key: string, frame: Buffer, ms: number): Promise<void>
  getMarks (keys: readonly string[]): Promise<Array<string | null> | undefined>
  /** Sets all of them to Redis' own time at once. False: perhaps it was done, perhaps not. */
  setMarks (keys: readonly string[], ms: number): Promise<boolean>
  close (): void
}

interface RedisLinkOptions {
  url: string
  clock: Clock
  log: Pick<Logger, 'info' | 'warn'>
  /** Told of each change: a Redis that is away, stalls or refuses is not up. */
  onUp? (isUp: boolean): void
  /** How long a reply is waited for. Default 100 ms. */
  commandMs?: number
}

const COMMAND_MS = 100
const CONNECT_MS = 300
const FAILURES_MAX = 3
const OPEN_MS_MIN = 200
const OPEN_MS_MAX = 2_000
/** A server that refuses INFO, or was busy. */
const LEARN_AGAIN_MS = 1_000
const RECONNECT_MS_MAX = 2_000
/** Values on their way to a Redis that does not read: more are not sent. */
const OUT_BYTES_MAX = 16 * 1_048_576

/** In one step, so that no mark is older than the moment it was asked for; the time is the reply's. */
const SET_MARKS = `
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
for i = 1, #KEYS do redis.call('SET', KEYS[i], now, 'PX', ARGV[1]) end
return now`

const UNLOCK = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

export function createRedisLink ({ url, clock, log, onUp, commandMs = COMMAND_MS }: RedisLinkOptions): RedisLink {
  const redis = connect(url, commandMs)
  // Not known yet, so that also a Redis that is away from the start gets its line.
  let isUp: boolean | null = null
  /** null: not connected, or not yet known. */
  let run: string | null = null
  let isClosed = false
  let failedMs = -Infinity
  let reason = 'closed'
  const breaker = createBreaker({
    clock,
    failuresMax: FAILURES_MAX,
    openMsMin: OPEN_MS_MIN,
    openMsMax: OPEN_MS_MAX,
    onState (state) {
      if (state !== 'half-open') note(state === 'closed')
    }
  })

  function note (up: boolean): void {
    if (up === isUp || isClosed) return
    isUp = up
    onUp?.(up)
    if (up) log.info('the cache is shared through Redis')
    else log.warn({ reason }, 'Redis is away for the cache: each process caches alone until it returns')
  }

  redis.on('error', (error: Error) => { reason = error.message })
  redis.on('close', () => {
    run = null
    note(false)
  })
  redis.on('ready', () => { learnRun() })

  /** Until it is known nothing else is asked. */
  async function learnRun (): Promise<void> {
    try {
      run = runOf(await inTime(redis.info('server')))
      breaker.succeed()
      note(true)
    } catch (error) {
      reason = messageOf(error)
      note(false)
      clock.after(LEARN_AGAIN_MS, () => { if (run === null && redis.status === 'ready') learnRun() })
    }
  }

  /** Commands of one turn travel together, behind those of the turn before: the client's own timeout begins later. */
  const inTime = <T>(reply: Promise<T>): Promise<T> =>
    withDeadline(reply, commandMs, () => new Error('no reply in time'))

  /** Undefined: no reply in time. */
  async function ask<T> (command: (run: string) => Promise<T>): Promise<T | undefined> {
    const asked = run
    if (asked === null || redis.status !== 'ready' || !breaker.allows()) return undefined
    const askedMs = clock.monotonic()
    try {
      const reply = await inTime(command(asked))
      breaker.succeed()
      // It may have waited for its turn until there was another connection.
      return run === asked ? reply : undefined
    } catch (error) {
      reason = messageOf(error)
      if (askedMs >= failedMs) {
        failedMs = clock.monotonic()
        breaker.fail()
      }
      return undefined
    }
  }

  return {
    look: (key) => ask(async (run) => {
      const [time, frame] = await Promise.all([redis.time(), redis.getBuffer(key)])
      return { nowMicros: toMicros(time), frame, run }
    }),
    lockAndLook: (lock, token, lockMs, key) => ask(async (run) => {
      const [isMine, time, frame] = await Promise.all([
        redis.set(lock, token, 'PX', lockMs, 'NX'), redis.time(), redis.getBuffer(key)
      ])
      return { isMine: isMine === 'OK', nowMicros: toMicros(time), frame, run }
    }),
    async unlock (lock, token) { await ask(() => redis.eval(UNLOCK, 1, lock, token)) },
    async setValue (key, frame, ms) {
      if (outBytes(redis) + frame.length <= OUT_BYTES_MAX) await ask(() => redis.set(key, frame, 'PX', ms))
    },
    getMarks: (keys) => ask(() => redis.mget(...keys)),
    async setMarks (keys, ms) {
      return await ask(() => redis.eval(SET_MARKS, keys.length, ...keys, ms)) !== undefined
    },
    close () {
      isClosed = true
      redis.disconnect()
    }
  }
}

function connect (url: string, commandTimeout: number): Redis {
  return new Redis(url, {
    connectTimeout: CONNECT_MS,
    commandTimeout,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    // A command of before a restart must not be carried out behind it as if nothing had happened.
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: true,
    retryStrategy: (attempt) =>
      Math.round(Math.min(RECONNECT_MS_MAX, 50 * 2 ** Math.min(attempt, 10)) * (0.8 + Math.random() * 0.4))
  })
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** ioredis does not say in its types that the connection's stream is there. */
function outBytes (redis: Redis): number {
  return (redis as unknown as { stream?: { writableLength?: number } }).stream?.writableLength ?? 0
}

function toMicros (time: ReadonlyArray<number | string>): number {
  return Number(time[0]) * 1_000_000 + Number(time[1])
}

/** @throws Error for a server that has none: what it lost could not be told from what it has */
function runOf (info: string): string {
  const run = /^run_id:(\w+)/m.exec(info)?.[1]
  if (run === undefined) throw new Error('INFO says no run_id')
  return run
}
