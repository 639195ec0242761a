/**
 * What the caches of all processes and hosts share through Redis: one named cache of one database.
 *
 * Owns: the keys, when an answer from Redis is valid, and whose turn it is to compute one. Never does: throw, wait
 * longer than 100 ms for a reply or 2 s for another process, walk over keys, or empty a database. In: keys, answers,
 * invalidations; out: answers that hold, or the turn.
 *
 * An answer is valid by time and not by sets of keys: it carries Redis' own time from before its computation began
 * (`asOf`), an invalidation leaves a mark with Redis' own time under each reference, and an answer holds while none of
 * its references, nor `*all*`, has a mark at or after its asOf. So an answer that was computed while it was invalidated
 * is never given out, whoever wrote last, and no set grows. A mark outlives every answer that it is about.
 *
 * A mark that could not be written must not leave a stale answer to be read: it is owed (owed-marks.ts), and while any
 * is owed or on its way nothing is read from Redis, nor written to it.
 *
 * Marks that Redis loses must not bring old answers back: an answer names the run of Redis (run_id) in which it was
 * begun and holds in that run alone, so that a restart or a failover, which may lose the last writes, ends them all.
 *
 * Two limits: a Redis that evicts marks before answers (`allkeys-*` when it is full) or whose clock is set back by more
 * than a write takes may give out an answer that was invalidated, until its time is over. `noteviction`, `volatile-ttl`
 * and a clock that is slewed do not.
 */
import { hash } from 'node:crypto'
import type { Clock } from '../std/clock.ts'
import { pause } from '../std/deadline.ts'
import { randomText } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import { FRESH_MS_MAX, STALE_MS_MAX } from './bounds.ts'
import { readFrame, writeFrame, type Frame } from './frame.ts'
import type { Shared, SharedLayer, Turn } from './layer.ts'
import { createOwedMarks } from './owed-marks.ts'
import type { Look, RedisLink } from './redis-link.ts'

/** How the owner of the values makes bytes of them and back. Either may throw or give null: then it is not shared. */
export interface Codec<V> {
  encode (value: V): { about: Json, body: Uint8Array } | null
  /** `bytes`: what the value takes in memory. */
  decode (about: Json, body: Uint8Array): { value: V, bytes: number } | null
}

interface RedisLayerOptions<V> {
  link: RedisLink
  /** Caches that share a Redis but not a database, or not a name, never meet. */
  database: string
  name: string
  codec: Codec<V>
  clock: Clock
  log: Pick<Logger, 'info' | 'warn'>
}

/** Longer than any answer lives behind the mark. */
const MARK_MS = FRESH_MS_MAX + STALE_MS_MAX + 60_000
/** As long as a resolver may take; then the next one computes beside it. */
const LOCK_MS = 3_000
/** Shorter than what others wait for this process's own flight (flights.ts), so that they get its answer. */
const WAIT_MS = 2_000
const LOOK_AGAIN_MS = 25
/** Larger answers stay in the memory that has them. */
const FRAME_BYTES_MAX = 4 * 1_048_576

/** Nothing found, and nobody to tell. */
const ALONE: Turn<never> = { found: null, keep () {}, end () {} }

type Made<V> = Parameters<Turn<V>['keep']>[0]
type Checked<V> = { asOfMicros: number, run: string, found: Shared<V> | null }

export function createRedisLayer<V> (options: RedisLayerOptions<V>): SharedLayer<V> {
  const { link, codec, clock, log } = options
  const keys = keysOf(options.database, options.name)
  const closing = new AbortController()
  const listeners: Array<(references: readonly string[] | null) => void> = []
  const marks = createOwedMarks({
    clock,
    log,
    setMarks: (references) => link.setMarks(keys.marks(references), MARK_MS),
    onLate (references) { for (const listener of listeners) listener(references) }
  })

  async function check (look: Look): Promise<Checked<V>> {
    const frame = look.frame === null ? null : readFrame(look.frame)
    const found = frame === null || frame.run !== look.run ? null : await validAnswer(frame, look.nowMicros)
    return { asOfMicros: look.nowMicros, run: look.run, found }
  }

  async function validAnswer (frame: Frame, nowMicros: number): Promise<Shared<V> | null> {
    const { asOfMicros, freshForMs, staleForMs, references, body, about } = frame
    const ageMs = (nowMicros - asOfMicros) / 1000
    if (ageMs < 0 || ageMs >= freshForMs + staleForMs) return null
    const found = await link.getMarks([...keys.marks(null), ...keys.marks(references)])
    if (found === undefined || found.some((mark) => mark !== null && !(Number(mark) < asOfMicros))) return null
    const decoded = decode(codec, about, body)
    return decoded === null ? null : { ...decoded, references, freshForMs, staleForMs, ageMs }
  }

  /** Until the answer is there, the turn is ours, or neither came in time. */
  async function waitForTurn (key: string): Promise<Turn<V>> {
    const lock = keys.lock(key)
    const token = randomText(20)
    const untilMs = clock.monotonic() + WAIT_MS
    let last: Checked<V>
    do {
      const look = await link.lockAndLook(lock, token, LOCK_MS, keys.value(key))
      if (look === undefined || !marks.isSettled()) {
        // Perhaps it was taken all the same: it must not be held against the others.
        unlock(lock, token)
        return ALONE
      }
      last = await check(look)
      if (look.isMine) return turnOf(key, last, () => unlock(lock, token))
      if (isFresh(last.found)) return turnOf(key, last)
      await pause(clock, LOOK_AGAIN_MS * (1 + Math.random()), closing.signal)
    } while (clock.monotonic() < untilMs && !closing.signal.aborted)
    return turnOf(key, last)
  }

  function unlock (lock: string, token: string): void {
    link.unlock(lock, token).catch(() => { /* it never rejects */ })
  }

  function turnOf (key: string, { found, ...begun }: Checked<V>, end: () => void = () => {}): Turn<V> {
    return { found, end, keep: (made) => { keep(key, begun, made) } }
  }

  function keep (key: string, begun: Pick<Frame, 'asOfMicros' | 'run'>, made: Made<V>): void {
    const { value, references, freshForMs, staleForMs } = made
    const encoded = encode(codec, value)
    if (encoded === null || !marks.isSettled()) return
    const frame = writeFrame({ ...begun, freshForMs, staleForMs, references, ...encoded })
    if (frame.length > FRAME_BYTES_MAX) return
    link.setValue(keys.value(key), frame, Math.ceil(freshForMs + staleForMs)).catch(() => { /* it never rejects */ })
  }

  return {
    async turn (key) {
      if (!marks.isSettled()) return ALONE
      const look = await link.look(keys.value(key))
      if (look === undefined) return ALONE
      const checked = await check(look)
      return isFresh(checked.found) ? turnOf(key, checked) : await waitForTurn(key)
    },
    invalidate: marks.write,
    owe: marks.owe,
    onLate (listener) { listeners.push(listener) },
    close () {
      closing.abort()
      marks.close()
    }
  }
}

function isFresh (found: { ageMs: number, freshForMs: number } | null): boolean {
  return found !== null && found.ageMs < found.freshForMs
}

/**
 * Hashed, so that no byte of a key or reference means anything to Redis or to a log; over UTF-16, since lone surrogates
 * would all be the same in UTF-8.
 */
function keysOf (database: string, name: string) {
  const prefix = `neko:cache:v1:${encodeURIComponent(database)}:${encodeURIComponent(name)}:`
  return {
    value: (key: string): string => `${prefix}value:${hashOf(key)}`,
    lock: (key: string): string => `${prefix}lock:${hashOf(key)}`,
    marks: (references: readonly string[] | null): string[] =>
      references === null ? [`${prefix}ref:*all*`] : references.map((one) => `${prefix}ref:${hashOf(one)}`)
  }
}

function hashOf (text: string): string {
  return hash('sha256', Buffer.from(text, 'utf16le'), 'base64url')
}

/** The owner's code on bytes that anybody may have written. */
function decode<V> (codec: Codec<V>, about: Json, body: Uint8Array): { value: V, bytes: number } | null {
  try {
    return codec.decode(about, body)
  } catch {
    return null
  }
}

function encode<V> (codec: Codec<V>, value: V): { about: Json, body: Uint8Array } | null {
  try {
    return codec.encode(value)
  } catch {
    return null
  }
}
