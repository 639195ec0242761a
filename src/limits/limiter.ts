import type { Clock } from '../std/clock.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Tier } from '../identity/shapes.ts'
import type { Logger } from '../telemetry/logger.ts'
import { PrimaryCounter } from './primary-counter.ts'
import { createExchange } from './exchange.ts'
import { createCounters, violationMs } from './counters.ts'
import { createLocalStore } from './local-store.ts'
import { PrimaryStore } from './primary-store.ts'
import type { BucketName, LimitAnswer, LimitStore, Order, Rate } from './shapes.ts'
import { hasNets, REFUSED } from './nets.ts'
import { ratesInForce } from './rates.ts'
import { LENGTHENED_BLOCK_SECONDS } from './third-violation.ts'

export { LENGTHENED_BLOCK_SECONDS, VIOLATIONS_MAX } from './third-violation.ts'

/**
 * Limits per tier and client, exact over the processes of a host: N at once, never more than N in any window.
 *
 * Owns: the grant of each tier, holds (a challenged client kept at the strict tier's rate), violations, and the choice
 * of the process that counts. Never does: work out who the client is, or answer HTTP.
 *
 * Why so: each process counting alone and telling the others let 115 of 100 pass with two processes. The primary
 * outlives every worker and serves nobody, so it counts (primary-counter.ts); workers ask it in batches, and a busy
 * client's requests are counted ahead (primary-store.ts). At WORKERS=1 the process counts for itself and answers
 * without a promise. A restarted primary, and so a restarted server, starts with empty counts.
 */
export interface Limits {
  /** One request of a client; a held client is counted at the strict rate, without its block. */
  take (tier: Tier, clientKey: string): LimitAnswer | Promise<LimitAnswer>
  /** One attempt counted apart from requests, like a refused credential: `name` keeps buckets apart. */
  takeNamed (tier: Tier, name: BucketName, clientKey: string): LimitAnswer | Promise<LimitAnswer>
  /** As this process last heard; all of its own counts are in it. */
  peekNamed (tier: Tier, name: BucketName, clientKey: string): LimitAnswer
  /** One that was counted and is over. */
  refundNamed (tier: Tier, name: BucketName, clientKey: string): void
  /** GraphQL cost, in points, of the tier's budget (20 points per request). */
  takeCost (tier: Tier, clientKey: string, points: number): LimitAnswer | Promise<LimitAnswer>
  /** Points that were taken for an operation and not used by it. */
  refundCost (tier: Tier, clientKey: string, points: number): void
  peekCost (tier: Tier, clientKey: string): LimitAnswer
  peek (tier: Tier, clientKey: string): LimitAnswer
  /** A request that was refused by its score: it weighs on the networks around its client (nets.ts). */
  noteRefused (clientKey: string): void
  /** A login or refresh attempt; `key` is `<name>|<whose>`, like `login|ip:192.0.2.1` (ATTEMPTS has the names). */
  takeAttempt (key: string): Promise<LimitAnswer>
  /** One standing decision on the word of a caller, who may have 60 a minute. */
  takeDecision (clientKey: string): LimitAnswer | Promise<LimitAnswer>
  /** As this process last heard. */
  peekAttempt (key: string): LimitAnswer
  /** One that was taken and not made. */
  refundAttempt (key: string): void
  /**
   * Crossings of a limit by this client within ten minutes, this one included. That of a request was counted when it
   * was taken; that of an attempt is counted here, and while the block of one lasts, in whichever process, there is no
   * other.
   */
  countViolation (clientKey: string, about: { tier: Tier, attempt: boolean }): number
  /** Holds a client to the strict tier's rate, without its block time; told to siblings. */
  hold (clientKey: string, ms: number): void
  isHeld (clientKey: string): boolean
  /** Lengthens the limiter's own block of a key in a tier (RATE_LIMIT_VIOLATION); told to siblings. */
  block (tier: Tier, clientKey: string, ms: number): void
  /**
   * How long the block that follows a violation lasts at least, in seconds, by the playbook in force; 0 when it says
   * nothing. Before the first request.
   */
  lengthenBlocks (seconds: number): void
  /** Forgets holds, blocks and counts of a client; told to siblings. */
  forget (clientKey: string): void
  rate (tier: Tier): Rate
  close (): void
}

interface LimitsOptions {
  rates: Readonly<Record<Tier, Rate>>
  fleet: Fleet
  clock: Clock
  /** Playbooks only record, so nobody is told of a longer block. */
  shadow: boolean
  /** Of a process that asks; the primary itself has nothing to say. */
  log?: Pick<Logger, 'info' | 'warn'>
}

const SILENT: Pick<Logger, 'info' | 'warn'> = { info () {}, warn () {} }

export function createLimits ({ rates, fleet, clock, shadow, log = SILENT }: LimitsOptions): Limits {
  let inForce = ratesInForce(rates, { shadow, lengthenedSeconds: LENGTHENED_BLOCK_SECONDS })
  const counts = fleet.primaryId === null || fleet.primaryId === fleet.processId
  const counters = createCounters({
    clock,
    onViolation: (clientKey, ms, count) => fleet.publish('limits.violation', [clientKey, ms, count])
  })
  const store: LimitStore = counts
    ? createLocalStore({ counters, inForce })
    : new PrimaryStore({ fleet, clock, log, counters, inForce })
  const primaryCounter = fleet.primaryId === fleet.processId ? new PrimaryCounter({ fleet, clock, counters }) : null
  const exchange = counts && fleet.bridgeUp() !== null ? createExchange({ fleet, clock, counters, inForce }) : null
  if (exchange !== null) counters.onAdmitted = (key, tier, points) => exchange.note(key, tier, points)

  fleet.subscribe('limits.hold', (message) => counters.hold(...message as [string, number]))
  fleet.subscribe('limits.block', (message) => {
    const [tier, clientKey, ms] = message as [Tier, string, number]
    store.applyBlock(request(tier, clientKey), ms)
  })
  fleet.subscribe('limits.violation', (message, from) => {
    const [clientKey, ms, count] = message as [string, number, number]
    if (counts) counters.applyRemoteViolation(clientKey, ms, null)
    else if (from === fleet.primaryId) counters.applyRemoteViolation(clientKey, ms, count)
  })
  fleet.subscribe('limits.forget', (message) => {
    // An answer from before must not reach a worker after it forgot; and the worker that asked to forget may have heard
    // such an answer since.
    primaryCounter?.flush()
    primaryCounter?.forget(message as string)
    store.applyForget(message as string)
    if (primaryCounter !== null) fleet.publish('limits.forgotten', message)
  })
  fleet.subscribe('limits.forgotten', (message, from) => {
    if (from === fleet.primaryId) store.applyForget(message as string)
  })

  return {
    take: (tier, clientKey) => store.take(request(tier, clientKey)),
    peek: (tier, clientKey) => store.peek(request(tier, clientKey)),
    takeNamed: (tier, name, clientKey) => store.take({ kind: name, tier, client: clientKey, points: 1 }),
    peekNamed: (tier, name, clientKey) => store.peek({ kind: name, tier, client: clientKey, points: 1 }),
    refundNamed: (tier, name, clientKey) => store.refund({ kind: name, tier, client: clientKey, points: 1 }),
    takeCost: (tier, clientKey, points) => store.take({ kind: 'cost', tier, client: clientKey, points }),
    refundCost (tier, clientKey, points) {
      if (points > 0) store.refund({ kind: 'cost', tier, client: clientKey, points })
    },
    peekCost: (tier, clientKey) => store.peek({ kind: 'cost', tier, client: clientKey, points: 1 }),
    takeDecision: (clientKey) => store.take({ kind: 'decision', tier: 'strict', client: clientKey, points: 1 }),
    noteRefused (clientKey) {
      const order = { kind: REFUSED, tier: 'standard' as const, client: clientKey, points: 1 }
      if (hasNets(order)) store.noteRefused(order)
    },
    takeAttempt: async (key) => await store.take(attempt(key)),
    peekAttempt: (key) => store.peek(attempt(key)),
    refundAttempt: (key) => store.refund(attempt(key)),
    countViolation: (clientKey, { attempt }) =>
      attempt
        ? store.countViolation(clientKey, violationMs(inForce.attemptRate))
        : counters.violations(clientKey),
    hold (clientKey, ms) {
      counters.hold(clientKey, ms)
      fleet.publish('limits.hold', [clientKey, ms])
    },
    isHeld: (clientKey) => counters.isHeld(clientKey),
    block (tier, clientKey, ms) {
      store.applyBlock(request(tier, clientKey), ms)
      fleet.publish('limits.block', [tier, clientKey, ms])
    },
    lengthenBlocks (seconds) {
      inForce = ratesInForce(rates, { shadow, lengthenedSeconds: seconds })
      store.useRates(inForce)
    },
    forget (clientKey) {
      store.applyForget(clientKey)
      fleet.publish('limits.forget', clientKey)
    },
    rate: (tier) => rates[tier],
    close () {
      store.close()
      primaryCounter?.close()
      exchange?.close()
    }
  }
}

function attempt (key: string): Order {
  return { kind: 'attempt', tier: 'strict', client: key, points: 1 }
}

function request (tier: Tier, client: string): Order {
  return { kind: 'request', tier, client, points: 1 }
}
