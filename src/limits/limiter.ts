import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Fleet } from '../cluster/fleet.ts'
import type { Tier } from '../identity/shapes.ts'
import type { LimitAnswer } from './shapes.ts'
import { createWindowLimiter, type Rate } from './window.ts'

/**
 * Limits per tier and client, shared by the processes of the fleet as closely as messages allow.
 *
 * Owns: the tiers' rates, holds (a challenged client kept at the strict tier's rate) and the exchange of counts with
 * siblings. Never does: work out who the client is, or answer HTTP.
 * Why so: a request must not wait for another process, so each counts alone and tells the others four times a second
 * what it admitted. Logins and refreshes are few and worth guessing at: those wait for the one process that counts them.
 */
export interface Limits {
  /** One request of a client; a held client is counted at the strict rate, without its block. */
  take (tier: Tier, clientKey: string): LimitAnswer
  /** One attempt counted apart from requests, like a refused credential: `name` keeps buckets apart. */
  takeNamed (tier: Tier, name: string, clientKey: string): LimitAnswer
  peekNamed (tier: Tier, name: string, clientKey: string): LimitAnswer
  /** GraphQL cost, in points, of the tier's budget (20 points per request). */
  takeCost (tier: Tier, clientKey: string, points: number): LimitAnswer
  peekCost (tier: Tier, clientKey: string): LimitAnswer
  peek (tier: Tier, clientKey: string): LimitAnswer
  /** A login or refresh attempt, counted exactly over all processes of the host. */
  takeAttempt (key: string): Promise<LimitAnswer>
  /** Crossings of a limit by this client within ten minutes, this one included; while the block of one lasts, in whichever process, there is no other. */
  countViolation (clientKey: string, about: { tier: Tier, attempt: boolean }): number
  /** Holds a client to the strict tier's rate, without its block time; told to siblings. */
  hold (clientKey: string, ms: number): void
  isHeld (clientKey: string): boolean
  /** Lengthens the limiter's own block of a key in a tier (RATE_LIMIT_VIOLATION); told to siblings. */
  block (tier: Tier, clientKey: string, ms: number): void
  /** Forgets holds, blocks and counts of a client; told to siblings. */
  forget (clientKey: string): void
  rate (tier: Tier): Rate
  close (): void
}

/** 131,072 keys of 100 bytes: 13 MB when all are touched. */
const CAPACITY = 131_072
const EXCHANGE_MS = 250
/** Keys told per exchange; the busiest clients are in it because they are counted first and most. */
const EXCHANGE_KEYS = 1000
const HOLDS_MAX = 20_000
const COST_PER_REQUEST = 20
const ATTEMPT_TIMEOUT_MS = 500
/** Two processes that count one crossing each do so within this. */
const VIOLATION_MS_MIN = 500
/**
 * The third crossing within ten minutes is answered by a block of five (playbook RATE_LIMIT_VIOLATION), after the reply
 * has left: the reply must say so already, or who waits as told would be refused once more.
 */
export const VIOLATIONS_MAX = 3
export const LENGTHENED_BLOCK_SECONDS = 300
/** Counts without ever refusing. */
const VIOLATION_RATE: Rate = { max: 1_000_000, windowSeconds: 600, blockSeconds: 0 }

/** `shadow`: playbooks only record, so nobody is told of a longer block. */
export function createLimits ({ rates, fleet, clock, shadow }: { rates: Readonly<Record<Tier, Rate>>, fleet: Fleet, clock: Clock, shadow: boolean }): Limits {
  const windows = createWindowLimiter({ clock, capacity: CAPACITY })
  const holds = new Map<string, number>()
  const admitted = new Map<string, { tier: Tier, count: number }>()
  const violating = new Map<string, number>()
  // Login and refresh: one crossing is a violation, and its block is five minutes whatever the tier's own is.
  const attemptRate: Rate = { ...rates.strict, blockSeconds: Math.max(rates.strict.blockSeconds, LENGTHENED_BLOCK_SECONDS) }
  const heldRate: Rate = { ...rates.strict, blockSeconds: 0 }
  const costRates = Object.fromEntries(Object.entries(rates).map(([tier, rate]) => [tier, { ...rate, max: rate.max * COST_PER_REQUEST, blockSeconds: 0 }])) as Record<Tier, Rate>

  function counted (tier: Tier, key: string, rate: Rate): LimitAnswer {
    const answer = windows.take(tier, key, rate)
    if (answer.allowed && fleet.processCount() > 1) {
      const entry = admitted.get(key)
      if (entry !== undefined) entry.count++
      else if (admitted.size < EXCHANGE_KEYS) admitted.set(key, { tier, count: 1 })
    }
    return answer
  }

  /** What a client is told that crosses its limit once too often. */
  function foretold (answer: LimitAnswer, clientKey: string): LimitAnswer {
    if (shadow || !answer.crossed || windows.peek('standard', `violations|${clientKey}`, VIOLATION_RATE).count + 1 < VIOLATIONS_MAX) return answer
    const seconds = Math.max(answer.retryAfterSeconds, LENGTHENED_BLOCK_SECONDS)
    return { ...answer, retryAfterSeconds: seconds, resetSeconds: seconds }
  }

  function isHeld (clientKey: string): boolean {
    if (holds.size === 0) return false
    const until = holds.get(clientKey)
    if (until === undefined) return false
    if (until > clock.monotonic()) return true
    holds.delete(clientKey)
    return false
  }

  function holdHere (clientKey: string, ms: number): void {
    holds.delete(clientKey)
    if (holds.size >= HOLDS_MAX) holds.delete(holds.keys().next().value as string)
    holds.set(clientKey, clock.monotonic() + ms)
  }

  function noteViolation (clientKey: string, ms: number): void {
    violating.delete(clientKey)
    if (violating.size >= HOLDS_MAX) violating.delete(violating.keys().next().value as string)
    violating.set(clientKey, clock.monotonic() + ms)
  }

  function forgetHere (clientKey: string): void {
    holds.delete(clientKey)
    violating.delete(clientKey)
    for (const tier of Object.keys(rates)) {
      windows.forget(`${tier}|${clientKey}`)
      for (const name of ['failed', 'cost']) windows.forget(`${tier}|${name}|${clientKey}`)
    }
    windows.forget(`held|${clientKey}`)
    windows.forget(`violations|${clientKey}`)
  }

  function exchange (): void {
    if (admitted.size === 0) return
    fleet.publish('limits.counts', [...admitted].map(([key, { tier, count }]) => [key, tier, count]))
    admitted.clear()
  }

  const timer = setInterval(exchange, EXCHANGE_MS)
  timer.unref()
  fleet.subscribe('limits.counts', (message) => {
    for (const [key, tier, count] of message as Array<[string, Tier, number]>) windows.absorb(key, rates[tier] ?? rates.standard, count)
  })
  fleet.subscribe('limits.hold', (message) => holdHere(...message as [string, number]))
  fleet.subscribe('limits.violation', (message) => {
    const [clientKey, ms] = message as [string, number]
    noteViolation(clientKey, ms)
    windows.absorb(`violations|${clientKey}`, VIOLATION_RATE, 1)
  })
  fleet.subscribe('limits.forget', (message) => forgetHere(message as string))
  fleet.subscribe('limits.block', (message) => {
    const [tier, key, ms] = message as [Tier, string, number]
    windows.block(`${tier}|${key}`, rates[tier], ms)
  })
  fleet.answer('limits.attempt', (key) => windows.take('strict', `attempt|${key as string}`, attemptRate) as unknown as Json)

  return {
    take: (tier, clientKey) => isHeld(clientKey) ? counted('strict', `held|${clientKey}`, heldRate) : foretold(counted(tier, `${tier}|${clientKey}`, rates[tier]), clientKey),
    peek: (tier, clientKey) => windows.peek(tier, `${tier}|${clientKey}`, rates[tier]),
    takeNamed: (tier, name, clientKey) => counted(tier, `${tier}|${name}|${clientKey}`, rates[tier]),
    peekNamed: (tier, name, clientKey) => windows.peek(tier, `${tier}|${name}|${clientKey}`, rates[tier]),
    takeCost: (tier, clientKey, points) => windows.take(tier, `${tier}|cost|${clientKey}`, costRates[tier], points),
    peekCost: (tier, clientKey) => windows.peek(tier, `${tier}|cost|${clientKey}`, costRates[tier]),
    async takeAttempt (key) {
      // The longest-lived process counts for all; when it does not answer in time this one does, which is never looser by more than one window.
      const [answer] = fleet.primaryId === null ? [] : await fleet.ask('limits.attempt', key, { processId: fleet.primaryId, timeoutMs: ATTEMPT_TIMEOUT_MS })
      return (answer as unknown as LimitAnswer | undefined) ?? windows.take('strict', `attempt|${key}`, attemptRate)
    },
    countViolation (clientKey, { tier, attempt }) {
      if ((violating.get(clientKey) ?? 0) > clock.monotonic()) return windows.peek('standard', `violations|${clientKey}`, VIOLATION_RATE).count
      // A little less than the block: who comes back the moment it ends may cross again.
      const ms = Math.max(VIOLATION_MS_MIN, (attempt ? attemptRate : rates[tier]).blockSeconds * 900)
      noteViolation(clientKey, ms)
      fleet.publish('limits.violation', [clientKey, ms])
      return windows.take('standard', `violations|${clientKey}`, VIOLATION_RATE).count
    },
    hold (clientKey, ms) {
      holdHere(clientKey, ms)
      fleet.publish('limits.hold', [clientKey, ms])
    },
    isHeld,
    block (tier, clientKey, ms) {
      windows.block(`${tier}|${clientKey}`, rates[tier], ms)
      fleet.publish('limits.block', [tier, clientKey, ms])
    },
    forget (clientKey) {
      forgetHere(clientKey)
      fleet.publish('limits.forget', clientKey)
    },
    rate: (tier) => rates[tier],
    close: () => clearInterval(timer)
  }
}
