import type { Tier } from '../identity/shapes.ts'
import type { RatesInForce } from './rates.ts'

/** Who counted: the primary for every process of the host, or this process for itself. */
export type LimitStoreName = 'local' | 'primary'

/** What the limiter says of one request. */
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
  /**
   * True for the one request that crossed the limit; what is refused while the block lasts belongs to the
   * same violation.
   */
  crossed: boolean
  /** Requests of this key in the current window, over all processes as far as known. */
  count: number
  store: LimitStoreName
}

/** One thing to count. */
export interface Order {
  /**
   * `request`, `attempt` (login and refresh), `cost` (GraphQL points), or the name of another bucket of the
   * client's.
   */
  kind: string
  tier: Tier
  /** ClientKey; for an attempt its name before it, `login|ip:192.0.2.1`. */
  client: string
  points: number
}

/**
 * Where counts are kept. At WORKERS=1 that is this process, which answers at once; in a worker it is the
 * primary. A store shared by several hosts has this same shape.
 */
export interface LimitStore {
  take (order: Order): LimitAnswer | Promise<LimitAnswer>
  /** As far as this process knows, without asking anybody. */
  peek (order: Order): LimitAnswer
  /** Gives back points that were taken and not used. */
  refund (order: Order): void
  /** One violation of a client, unless one of its lasts (ms); returns those of the last ten minutes. */
  countViolation (clientKey: string, ms: number): number
  /** What somebody decided, applied to what this process knows: every process hears of it and does the same. */
  applyBlock (order: Order, ms: number): void
  applyForget (clientKey: string): void
  useRates (inForce: RatesInForce): void
  close (): void
}
