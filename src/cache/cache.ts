/**
 * A named cache of whole answers: memory in front of a layer that processes may share (Redis).
 *
 * Owns: one computation per key, and where an answer is looked for. Never does: know what an answer says or who may
 * read it (the key does), cache an error, or make anybody wait for the layer longer than it promises. In: a key, and
 * how to compute its answer; out: the answer and where it came from.
 *
 * What holds: a read that begins after `invalidate` resolved sees nothing that was computed before it, here and in
 * every process of this host that is not silent; on other hosts a second later. While other hosts cannot be heard,
 * entries are fresh for a second at most, and when they are heard again what was held is dropped.
 *
 * Why our own: async-cache-dedupe 3.4 answers every look-up by promises, bounds by count, takes TTLs in whole seconds,
 * and keeps what an invalidation overtook while it was computed. A look-up here: test/cache/peek.timing.test.ts.
 */
import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import { createAnswers, type Answers } from './answers.ts'
import { FRESH_MS_MAX, STALE_MS_MAX } from './bounds.ts'
import { createFlights } from './flights.ts'
import type { SharedLayer, Turn } from './layer.ts'
import type { Entry } from './memory.ts'
import type { Answer, Cache, CacheStats, Computed } from './port.ts'
import { createSiblings, tellable } from './siblings.ts'

export interface CacheOptions<V> {
  name: string
  clock: Clock
  fleet: Fleet
  layer: SharedLayer<V> | null
  /** Of all entries in memory, with what holding them costs. Default 64 MiB. */
  bytesMax?: number
  /** Whether an entry past its freshness may answer for an error now: while the store's breaker is not closed. */
  staleAllowed (): boolean
}

const BYTES_MAX = 64 * 1_048_576
const BRIDGE_LOOK_MS = 250

/** What a flight brings: all who waited may have what is kept, and what is no error counts. */
interface Landed<V> { answer: Answer<V>, isKept: boolean, isAnswer: boolean }

/** One computation under way. */
interface Work<V> { key: string, compute: () => Promise<Computed<V>>, since: number, turn: Turn<V> | null }

export function createCache<V> (options: CacheOptions<V>): Cache<V> {
  const { name, clock, fleet, layer, bytesMax = BYTES_MAX, staleAllowed } = options
  const answers = createAnswers<V>({ clock, bytesMax })
  const flights = createFlights<Landed<V>>({ clock })
  const counts = { HIT: 0, MISS: 0, STALE: 0 }
  const siblings = createSiblings({
    name,
    fleet,
    clock,
    forget (references, isOwed) {
      if (isOwed) layer?.owe(references)
      answers.forget(references)
    }
  })
  // Meanwhile the others may have taken from the layer what it should have forgotten.
  layer?.onLate((references) => { siblings.tell(references, false).catch(() => { /* it never rejects */ }) })
  const bridgeWatch = watchBridge({ clock, fleet, answers, onReturn: siblings.remind })

  async function forgetEverywhere (references: readonly string[] | null): Promise<void> {
    answers.forget(references)
    // The layer first: whoever of the others has forgotten it must not find it there again.
    const isWritten = await layer?.invalidate(references) ?? true
    await siblings.tell(references, !isWritten)
  }

  async function fly (key: string, compute: () => Promise<Computed<V>>): Promise<Landed<V>> {
    const since = answers.now
    const turn = layer === null ? null : await layer.turn(key)
    try {
      const found = turn?.found ?? null
      const storedAtMs = clock.monotonic() - (found?.ageMs ?? 0)
      if (found !== null && answers.adopt({ ...found, key, storedAtMs }, since) && found.ageMs < found.freshForMs) {
        return landed('HIT', found, found.ageMs)
      }
      return await computeAnswer({ key, compute, since, turn })
    } finally {
      turn?.end()
    }
  }

  async function computeAnswer ({ key, compute, since, turn }: Work<V>): Promise<Landed<V>> {
    const storedAtMs = clock.monotonic()
    let computed: Computed<V>
    try {
      computed = await compute()
    } catch (error) {
      const entry = staleAllowed() ? answers.fallback(key) : undefined
      if (entry === undefined) throw error
      return landed('STALE', entry, clock.monotonic() - entry.storedAtMs)
    }
    const made = withinTimes(computed)
    if (made.keep && made.freshForMs > 0 && answers.keep({ ...made, key, storedAtMs }, since)) turn?.keep(made)
    const { answer } = landed('MISS', made, clock.monotonic() - storedAtMs)
    return { answer, isKept: made.keep, isAnswer: made.isAnswer }
  }

  async function landedOf (key: string, compute: () => Promise<Computed<V>>): Promise<Landed<V>> {
    const flight = flights.find(key, answers.now)
    if (flight === undefined) return await flights.start(key, answers.now, () => fly(key, compute))
    const awaited = await flights.wait(flight)
    if (awaited?.isKept === true) return awaited
    // Nobody waits twice, and not for the layer either.
    const since = answers.now
    return await flights.start(key, since, () => computeAnswer({ key, compute, since, turn: null }))
  }

  return {
    name,
    peek: answers.fresh,
    countHit () { counts.HIT++ },
    async load (key, compute) {
      const entry = answers.fresh(key)
      const { answer, isAnswer } = entry === undefined
        ? await landedOf(key, compute)
        : landed('HIT', entry, clock.monotonic() - entry.storedAtMs)
      if (isAnswer) counts[answer.status]++
      return answer
    },
    grow: answers.grow,
    async invalidate (references) {
      if (references.length > 0) await forgetEverywhere(tellable(references))
    },
    clear: () => forgetEverywhere(null),
    stats: () => statsOf(answers, counts, bytesMax),
    close () {
      bridgeWatch.cancel()
      siblings.close()
      layer?.close()
    }
  }
}

/** While other hosts are not heard, and when they are heard again: what changed meanwhile is not known. */
function watchBridge<V> ({ clock, fleet, answers, onReturn }: {
  clock: Clock, fleet: Fleet, answers: Answers<V>, onReturn: () => void
}): { cancel (): void } {
  let isHeard = fleet.bridgeUp() !== false
  answers.setHeard(isHeard)
  return clock.every(BRIDGE_LOOK_MS, () => {
    const wasHeard = isHeard
    isHeard = fleet.bridgeUp() !== false
    answers.setHeard(isHeard)
    if (wasHeard || !isHeard) return
    answers.forget(null)
    onReturn()
  })
}

function landed<V> (
  status: Answer<V>['status'],
  { value, freshForMs }: Pick<Entry<V>, 'value' | 'freshForMs'>,
  ageMs: number
): Landed<V> {
  return { answer: { status, value, ageMs, freshForMs }, isKept: true, isAnswer: true }
}

function withinTimes<V> (computed: Computed<V>): Computed<V> {
  return {
    ...computed,
    freshForMs: Math.min(computed.freshForMs, FRESH_MS_MAX),
    staleForMs: Math.min(Math.max(0, computed.staleForMs), STALE_MS_MAX)
  }
}

function statsOf<V> (
  { size, bytes, evictions, invalidations }: Answers<V>,
  counts: Record<Answer<V>['status'], number>,
  bytesMax: number
): CacheStats {
  return {
    entries: size,
    bytes,
    bytesMax,
    hits: counts.HIT,
    misses: counts.MISS,
    stale: counts.STALE,
    evictions,
    invalidations
  }
}
