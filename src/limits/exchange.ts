import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Tier } from '../identity/shapes.ts'
import type { Counters } from './counters.ts'
import { rateOf } from './rates.ts'
import type { RatesInForce } from './shapes.ts'

/**
 * Between hosts joined by Redis: each host's counting process tells the others four times a second how much it
 * admitted. Within a host counts are exact; between hosts they are as close as this.
 */
interface Exchange {
  /** Points that are given back are negative. */
  note (key: string, tier: Tier, points: number): void
  close (): void
}

const EXCHANGE_MS = 250
/** Keys told per exchange; the busiest clients are in it because they are counted first and most. */
const EXCHANGE_KEYS = 1000

export function createExchange (
  { fleet, clock, counters, inForce }: {
    fleet: Fleet,
    clock: Pick<Clock, 'every'>,
    counters: Pick<Counters, 'windows'>,
    inForce: RatesInForce
  }
): Exchange {
  const admitted = new Map<string, { tier: Tier, count: number }>()

  const unsubscribe = fleet.subscribe('limits.counts', (message) => {
    for (const [key, tier, count] of message as Array<[string, Tier, number]>) {
      counters.windows.absorb(key, rateOf(key, tier, inForce), count)
    }
  })
  const timer = clock.every(EXCHANGE_MS, () => {
    if (admitted.size === 0) return
    fleet.publish(
      'limits.counts',
      [...admitted].filter(([, { count }]) => count > 0).map(([key, { tier, count }]) => [key, tier, count])
    )
    admitted.clear()
  })

  return {
    note (key, tier, points) {
      const entry = admitted.get(key)
      if (entry !== undefined) entry.count += points
      else if (admitted.size < EXCHANGE_KEYS) admitted.set(key, { tier, count: points })
    },
    close () {
      timer.cancel()
      unsubscribe()
    }
  }
}
