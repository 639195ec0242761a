import type { Tier } from '../identity/shapes.ts'
import { KNOWN, STRANGERS, STRANGERS_RATE } from './shapes.ts'
import type { Bucket, BucketName, Order, OwnRateName, Rate, RatesInForce } from './shapes.ts'

/** The grant of each tier, and the bucket that an order draws from (pure). */
export const TIERS: readonly Tier[] = ['strict', 'standard', 'relaxed', 'service']
/** Buckets of a client beside that of its requests, forgotten with it. */
const NAMED: ReadonlyArray<BucketName | 'cost'> = [
  'failed', 'cost', 'sign-in', 'blocked-credential', 'cross-site', 'cross-site-turn', 'stolen-token'
]
/** What pages of other sites sent from a client's address is counted apart (transaction/cross-site.ts). */
const APART = 'cross-site '
/** Kinds of attempt: of an address, an account or a user, whichever the caller names. */
const ATTEMPTS: readonly string[] = ['login', 'refresh', 'password', STRANGERS, KNOWN]
/** Standing decisions that playbooks make on the word of one caller (`act: true`). */
const DECISION_RATE: Rate = { max: 60, windowSeconds: 60, blockSeconds: 0 }
const DECISION_PREFIX = 'decision|'
const COST_PER_REQUEST = 20
/** Named buckets with rates of their own; their meaning is their callers'. */
const OWN_RATES: Readonly<Record<OwnRateName, Rate> & Record<string, Rate>> = {
  /** Refused requests of other sites' pages (transaction/cross-site-turns.ts). */
  'cross-site': { max: 10, windowSeconds: 600, blockSeconds: 0 },
  /** Such requests under way: counted without ever being refused; one that was never ended counts for a minute. */
  'cross-site-turn': { max: 1_000_000, windowSeconds: 60, blockSeconds: 0 },
  /** Logins of a blocked address that are read (transaction/blocked-tries.ts). */
  'sign-in': { max: 10, windowSeconds: 60, blockSeconds: 0 },
  /** Credentials of a blocked address that did not hold. */
  'blocked-credential': { max: 10, windowSeconds: 600, blockSeconds: 0 },
  /** Data of a credential that scores as an attack (transaction/stolen-token.ts). */
  'stolen-token': { max: 10, windowSeconds: 600, blockSeconds: 0 }
}
/** Kinds that other hosts need not hear of. */
export const UNSHARED: ReadonlySet<string> = new Set(['cost', 'cross-site-turn'])
/** Six of a hundred: one message to the others for seven requests of a client that comes through several processes. */
const DRIFT_SHARE = 16

/** @param lengthenedSeconds of the playbook in force, 0 when it lengthens nothing */
export function ratesInForce (
  rates: Readonly<Record<Tier, Rate>>,
  { shadow, lengthenedSeconds }: { shadow: boolean, lengthenedSeconds: number }
): RatesInForce {
  return {
    rates,
    costRates: Object.fromEntries(TIERS.map((tier) => [tier, costRateOf(rates[tier])])) as Record<Tier, Rate>,
    heldRate: { ...rates.strict, blockSeconds: 0 },
    attemptRate: { ...rates.strict, blockSeconds: Math.max(rates.strict.blockSeconds, shadow ? 0 : lengthenedSeconds) },
    lengthenedSeconds,
    shadow
  }
}

function costRateOf ({ max, windowSeconds }: Rate): Rate {
  return { max: max * COST_PER_REQUEST, windowSeconds, blockSeconds: 0 }
}

/** How much of a limit a process may not have heard of: its own decisions allow for it. */
export function driftOf ({ max }: Rate): number {
  return Math.floor(max / DRIFT_SHARE)
}

export function bucketOf (
  { kind, tier, client }: Pick<Order, 'kind' | 'tier' | 'client'>,
  { rates, costRates, heldRate, attemptRate }: RatesInForce,
  isHeld: boolean
): Bucket {
  if (kind === 'request') {
    return isHeld
      ? { key: `held|${client}`, tier: 'strict', rate: heldRate }
      : { key: `${tier}|${client}`, tier, rate: rates[tier] }
  }
  if (kind === 'decision') return { key: DECISION_PREFIX + client, tier: 'strict', rate: DECISION_RATE }
  if (kind === 'attempt') {
    const rate = client.startsWith(STRANGERS) ? STRANGERS_RATE : attemptRate
    return { key: `attempt|${client}`, tier: 'strict', rate }
  }
  const rate = kind === 'cost' ? costRates[tier] : OWN_RATES[kind] ?? rates[tier]
  return { key: `${tier}|${kind}|${client}`, tier, rate }
}

/** The rate of a bucket that another host tells of. */
export function rateOf (key: string, tier: Tier, { rates }: RatesInForce): Rate {
  if (key.startsWith(DECISION_PREFIX)) return DECISION_RATE
  return OWN_RATES[key.split('|', 2)[1] ?? ''] ?? rates[tier] ?? rates.standard
}

/** Every bucket of a client. */
export function keysOf (client: string): string[] {
  return [...keysUnder(client), ...keysUnder(APART + client)]
}

function keysUnder (client: string): string[] {
  return [
    `held|${client}`,
    DECISION_PREFIX + client,
    ...ATTEMPTS.map((name) => `attempt|${name}|${client}`),
    ...TIERS.flatMap((tier) => [`${tier}|${client}`, ...NAMED.map((name) => `${tier}|${name}|${client}`)])
  ]
}
