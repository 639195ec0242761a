import type { Tier } from '../identity/shapes.ts'

/** The grant of a tier: `max` requests (or points) in any window, and how long a crossing blocks. */
export interface Rate { max: number, windowSeconds: number, blockSeconds: number }

/**
 * Tries at the password of an account by strangers to it, over all processes: an attempt of this name, without a block,
 * since nobody's tries may shut out the next.
 */
export const STRANGERS = 'stranger'
export const STRANGERS_RATE: Rate = { max: 12, windowSeconds: 60, blockSeconds: 0 }

/**
 * Tries of an address on an account that it signed in to before, while its networks refuse new clients: counted for
 * the address alone.
 */
export const KNOWN = 'known'

/** Counts of a client beside that of its requests: refused credentials, and those with own rates (rates.ts). */
export type BucketName = 'failed' | OwnRateName
export type OwnRateName = 'cross-site' | 'cross-site-turn' | 'sign-in' | 'blocked-credential' | 'stolen-token'

/** The rates of a process, as its configuration and the playbook in force have them. */
export interface RatesInForce {
  rates: Readonly<Record<Tier, Rate>>
  costRates: Readonly<Record<Tier, Rate>>
  /** Of a client that is held: strict, without its block. */
  heldRate: Rate
  /** Login and refresh: one crossing is a violation, and its block the longer of the lengthened and the tier's own. */
  attemptRate: Rate
  /** How long the block after a violation lasts at least; 0 when no playbook lengthens it. */
  lengthenedSeconds: number
  /** Playbooks only record, so nobody is told of a longer block. */
  shadow: boolean
}

/** One count of a client, with the rate that bounds it. */
export interface Bucket { key: string, tier: Tier, rate: Rate }

/** The process that counted: the primary for every process of the host, or this one for itself. */
export type LimitStoreName = 'local' | 'primary'

/** The limiter's answer to one request. */
export interface LimitAnswer {
  allowed: boolean
  tier: Tier
  /** Requests per window. */
  limit: number
  windowSeconds: number
  /** Left in this window, 0 when refused. */
  remaining: number
  /** Whole seconds, at least 1, until the window is as good as empty again (or until the block ends). */
  resetSeconds: number
  /** Whole seconds, at least 1, after which one more is certainly admitted; 0 when allowed. */
  retryAfterSeconds: number
  /** The same in milliseconds: until then one more is certainly refused. */
  retryAfterMs: number
  /** True for the one request that crossed the limit; refusals while the block lasts belong to the same violation. */
  crossed: boolean
  /** Requests of this key in the current window, over all processes as far as known. */
  count: number
  store: LimitStoreName
  /** Which of the networks around the client refused (nets.ts), where it was not the client's own limit. */
  net?: number
}

/** One thing to count. */
export interface Order {
  /**
   * `request`, `attempt` (login and refresh), `cost` (GraphQL points), `decision` (on the client's word), or the name
   * of another bucket of the client.
   */
  kind: string
  tier: Tier
  /** ClientKey; for an attempt its name before it, `login|ip:192.0.2.1`. */
  client: string
  points: number
}

/**
 * Where counts are kept. At WORKERS=1 that is this process, which answers at once; in a worker it is the primary. A
 * store shared by several hosts has this same shape.
 */
export interface LimitStore {
  take (order: Order): LimitAnswer | Promise<LimitAnswer>
  /** As far as this process knows, without asking anybody. */
  peek (order: Order): LimitAnswer
  /** Counts what was refused by its score in the networks around its client. */
  noteRefused (order: Order): void
  /** Gives back points that were taken and not used. */
  refund (order: Order): void
  /** One violation of a client, unless one of its lasts (ms); returns those of the last ten minutes. */
  countViolation (clientKey: string, ms: number): number
  /** A block that somebody decided: every process hears of it and does the same. */
  applyBlock (order: Order, ms: number): void
  /** A client that somebody reset: every process hears of it and does the same. */
  applyForget (clientKey: string): void
  useRates (inForce: RatesInForce): void
  close (): void
}
