/**
 * Single flight: of many who want the same at once, one computes and the others wait.
 *
 * Owns: which keys are being computed, and since when. Never does: compute, or keep a result. In: a key and the moment
 * of the last invalidation; out: the flight that may be joined.
 *
 * Why so: whoever begins behind an invalidation must not get what was read before it, and which references a flight
 * will turn out to hang on is not known yet. So a flight is joined only while nothing at all was invalidated since it
 * began: under many writes that makes a few computations more, never a wrong answer. Waiting is bounded, since the
 * flight that is waited for may hang.
 */
import type { Clock } from '../std/clock.ts'

interface Flight<R> { readonly since: number, readonly startedMs: number, readonly result: Promise<R> }

interface Flights<R> {
  /** One that may be joined by who begins now. */
  find (key: string, since: number): Flight<R> | undefined
  /** Runs `work` as the flight of this key, in place of an older one. */
  start (key: string, since: number, work: () => Promise<R>): Promise<R>
  /** Its result, or null when it takes longer than somebody may wait. @throws what the flight throws */
  wait (flight: Flight<R>): Promise<R | null>
}

/** As long as a resolver may take: who waited that long has no time left to wait for another. */
const WAIT_MS = 3_000
/** Keys on their way at once. Beyond it each computes for itself, as without a cache. */
const FLIGHTS_MAX = 1_000

export function createFlights<R> ({ clock }: { clock: Pick<Clock, 'monotonic' | 'after'> }): Flights<R> {
  const flights = new Map<string, Flight<R>>()

  return {
    find (key, since) {
      const flight = flights.get(key)
      if (flight === undefined || flight.since !== since) return undefined
      return clock.monotonic() - flight.startedMs < WAIT_MS ? flight : undefined
    },
    start (key, since, work) {
      if (flights.size >= FLIGHTS_MAX && !flights.has(key)) return work()
      const flight: Flight<R> = { since, startedMs: clock.monotonic(), result: work() }
      flights.set(key, flight)
      const end = (): void => { if (flights.get(key) === flight) flights.delete(key) }
      flight.result.then(end, end)
      return flight.result
    },
    wait: ({ result }) => new Promise((resolve, reject) => {
      const timer = clock.after(WAIT_MS, () => resolve(null))
      result.then(resolve, reject).finally(() => timer.cancel())
    })
  }
}
