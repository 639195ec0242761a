import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Tier } from '../identity/shapes.ts'
import { refused } from './answers.ts'
import { bucketOf, keysOf, UNSHARED } from './rates.ts'
import { lengthenedBlockMs } from './third-violation.ts'
import type { Bucket, LimitAnswer, Order, Rate, RatesInForce } from './shapes.ts'
import { createNets, hasNets, mayBeKnown, type Nets } from './nets.ts'
import { createWindowLimiter } from './window.ts'
import type { WindowLimiter } from './window.ts'

/**
 * One process's knowledge of its clients: counts, holds, and violations. In the process that counts (the primary, or
 * the only one) it is the truth; in a worker it is as the primary told it, and what the worker falls back to.
 *
 * Never does: talk to another process.
 */
export interface Counters {
  readonly windows: WindowLimiter
  readonly nets: Nets
  /** Told of each request and attempt that was admitted and of each named count, where somebody wants to know. */
  onAdmitted: ((key: string, tier: Tier, points: number) => void) | null
  /** Counts, and notes a violation where a request crosses a limit. */
  count (order: Order, inForce: RatesInForce): LimitAnswer
  hold (clientKey: string, ms: number): void
  isHeld (clientKey: string): boolean
  /** One violation, unless one lasts; returns those of the last ten minutes. */
  noteViolation (clientKey: string, ms: number): number
  /** As somebody else noted it: `count` of the last ten minutes, or one more when null. */
  applyRemoteViolation (clientKey: string, ms: number, count: number | null): void
  violations (clientKey: string): number
  isViolating (clientKey: string): boolean
  forget (clientKey: string): void
}

interface CountersOptions {
  clock: Clock
  /** A violation was noted here. */
  onViolation (clientKey: string, ms: number, count: number): void
}

/** 131,072 keys of 109 bytes: 14 MB when all are touched. */
const CAPACITY = 131_072
const HOLDS_MAX = 20_000
/** A client of a tier without a block that asks on and on crosses with each sub-window: twice within this is one. */
const VIOLATION_MS_MIN = 500
/** Counts without ever refusing. */
const VIOLATION_RATE: Rate = { max: 1_000_000, windowSeconds: 600, blockSeconds: 0 }

export function createCounters ({ clock, onViolation }: CountersOptions): Counters {
  const windows = createWindowLimiter({ clock, capacity: CAPACITY })
  const holds = new BoundedMap<string, number>(HOLDS_MAX)
  const violating = new BoundedMap<string, number>(HOLDS_MAX)

  function isHeld (clientKey: string): boolean {
    return holds.size > 0 && isOn(holds, clientKey)
  }

  function isOn (times: Map<string, number>, clientKey: string): boolean {
    const until = times.get(clientKey)
    if (until === undefined) return false
    if (until > clock.monotonic()) return true
    times.delete(clientKey)
    return false
  }

  function violations (clientKey: string): number {
    return windows.peek('standard', violationKey(clientKey), VIOLATION_RATE).count
  }

  function noteViolation (clientKey: string, ms: number): number {
    if (isOn(violating, clientKey)) return violations(clientKey)
    violating.set(clientKey, clock.monotonic() + ms)
    const { count } = windows.take('standard', violationKey(clientKey), VIOLATION_RATE)
    onViolation(clientKey, ms, count)
    return count
  }

  /** Both its own limit and the strict one must have room, so that a hold never grants more; the lesser is shown. */
  function countHeld (order: Order, inForce: RatesInForce): LimitAnswer {
    const own = bucketOf(order, inForce, false)
    const { key, tier, rate } = bucketOf(order, inForce, true)
    const left = windows.peek(own.tier, own.key, own.rate)
    if (!left.allowed) {
      const { retryAfterSeconds, retryAfterMs } = left
      return refused({ tier, rate, count: rate.max, retryAfterSeconds, retryAfterMs, crossed: false, store: 'local' })
    }
    const answer = windows.take(tier, key, rate, order.points)
    if (!answer.allowed) return answer.crossed ? { ...answer, crossed: false } : answer
    windows.absorb(own.key, own.rate, order.points)
    self.onAdmitted?.(key, tier, order.points)
    const remaining = Math.min(answer.remaining, left.remaining - order.points)
    return { ...answer, remaining, count: rate.max - remaining }
  }

  /** From its third crossing on a client is blocked for longer, and told so. */
  function crossed (
    answer: LimitAnswer,
    { client }: Order,
    { key, tier, rate }: Bucket,
    inForce: RatesInForce
  ): LimitAnswer {
    const blockMs = lengthenedBlockMs(noteViolation(client, violationMs(rate)), inForce)
    if (blockMs === 0) return answer
    windows.block(key, rate, blockMs)
    const { retryAfterSeconds, resetSeconds, retryAfterMs } = windows.peek(tier, key, rate)
    return { ...answer, retryAfterSeconds, resetSeconds, retryAfterMs }
  }

  const nets = createNets({ windows, onAdmitted: (key, tier, points) => self.onAdmitted?.(key, tier, points) })

  const self: Counters = {
    windows,
    nets,
    onAdmitted: null,
    count (order, inForce) {
      if (order.kind === 'request' && isHeld(order.client)) return countHeld(order, inForce)
      const bucket = bucketOf(order, inForce, false)
      const { key, tier, rate } = bucket
      const answer = windows.take(tier, key, rate, order.points)
      if (answer.allowed) {
        const isNew = answer.count === order.points
        const looksAtNets = (isNew || order.kind !== 'request') && hasNets(order)
        const refusal = looksAtNets ? nets.count(order, inForce, { isNew, weight: order.points }) : null
        if (refusal !== null) {
          // Still new: who comes again is looked at again.
          windows.refund(key, order.points)
          return refusal
        }
        if (self.onAdmitted !== null && !UNSHARED.has(order.kind)) self.onAdmitted(key, tier, order.points)
        return answer
      }
      if (!answer.crossed) return answer
      // Only a client's own rate of requests is violated: the rate of a hold never is, and attempts say so themselves.
      return order.kind === 'request' ? crossed(answer, order, bucket, inForce) : { ...answer, crossed: false }
    },
    hold (clientKey, ms) { holds.set(clientKey, clock.monotonic() + ms) },
    isHeld,
    noteViolation,
    applyRemoteViolation (clientKey, ms, count) {
      violating.set(clientKey, clock.monotonic() + ms)
      if (count === null) windows.absorb(violationKey(clientKey), VIOLATION_RATE, 1)
      else windows.tell(violationKey(clientKey), VIOLATION_RATE, count)
    },
    violations,
    isViolating: (clientKey) => isOn(violating, clientKey),
    forget (clientKey) {
      holds.delete(clientKey)
      violating.delete(clientKey)
      windows.forget(violationKey(clientKey))
      for (const key of keysOf(clientKey)) windows.forget(key)
    }
  }
  return self
}

/**
 * The state without counting. What a request has left is its client's own; whether an attempt or a credential would be
 * looked at is its networks' too, unless its client made requests or tries of its own before.
 */
export function peekWithNets ({ windows, nets }: Counters, order: Order, inForce: RatesInForce): LimitAnswer {
  const { key, tier, rate } = bucketOf(order, inForce, false)
  const own = windows.peek(tier, key, rate)
  if (order.kind === 'request' || !own.allowed || !hasNets(order)) return own
  if (!mayBeKnown(order)) return nets.peek(order, inForce) ?? own
  if (own.count > 0) return own
  const requests = bucketOf({ ...order, kind: 'request' }, inForce, false)
  if (windows.peek(requests.tier, requests.key, requests.rate).count > 0) return own
  return nets.peek(order, inForce) ?? own
}

/** How long a violation lasts, ms: a little less than its block, since a client that comes back may cross again. */
export function violationMs ({ blockSeconds }: Rate): number {
  return Math.max(VIOLATION_MS_MIN, blockSeconds * 900)
}

function violationKey (clientKey: string): string {
  return `violations|${clientKey}`
}
