import type { Test } from 'tap'
import { createCache, type CacheOptions } from '../../src/cache/cache.ts'
import type { Cache, Computed } from '../../src/cache/port.ts'
import { createFleetHub, type FleetHub } from '../../src/fleet/hub.ts'
import { createLocalFleet } from '../../src/fleet/local.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'

let count = 0
const log = { error: () => {}, warn: () => {} }

export interface CacheRoom {
  clock: TestClock
  hub: FleetHub
  /** A process of this host with its cache. */
  open (options?: Partial<CacheOptions<unknown>>): Cache<unknown> & { fleet: Fleet }
}

/** Processes of one host, each with a cache of the same name; time stands still. */
export function cacheRoom (t: Pick<Test, 'teardown'>, clock = createTestClock()): CacheRoom {
  const hub = createFleetHub(clock)
  return {
    clock,
    hub,
    open (options = {}) {
      const fleet = createLocalFleet({ processId: `process${count++}`, clock, log, hub })
      const cache = createCache<unknown>({ name: 'answers', clock, fleet, layer: null, staleAllowed: () => false, ...options })
      t.teardown(() => cache.close())
      return { ...cache, fleet }
    }
  }
}

/** An answer as most are. */
export function computed (value: unknown, about: Partial<Computed<unknown>> = {}): Computed<unknown> {
  return { value, bytes: 100, references: [], freshForMs: 60_000, staleForMs: 0, keep: true, isAnswer: true, ...about }
}

/** A computation that the test ends when it likes, and that knows how often it was begun. */
export function held (): { compute: () => Promise<Computed<unknown>>, end: (result: Computed<unknown>) => void, fail: (error: Error) => void, begun: () => number } {
  const waiting: Array<PromiseWithResolvers<Computed<unknown>>> = []
  return {
    compute () {
      const one = Promise.withResolvers<Computed<unknown>>()
      waiting.push(one)
      return one.promise
    },
    end: (result) => { for (const one of waiting) one.resolve(result) },
    fail: (error) => { for (const one of waiting) one.reject(error) },
    begun: () => waiting.length
  }
}
