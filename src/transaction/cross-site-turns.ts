import type { Limits } from '../limits/limiter.ts'
import type { LimitAnswer } from '../limits/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Logger } from '../telemetry/logger.ts'
import { countedAs } from './cross-site.ts'
import { refuseByLimit, type Refusal } from './refusal.ts'
import type { Transaction } from './transaction.ts'
import { createTurnLines } from './turn-lines.ts'

/**
 * The bounds of requests that pages of other sites made a browser send (cross-site.ts), per address and whatever the
 * agent. They are refused by their own score, make no standing block and teach no history; so without these bounds they
 * would be free guesses for whoever only claims to be such a page.
 *
 * From the third refused one within ten minutes such requests of the address get the strict rate, from the tenth they
 * are all refused for ten minutes, unscored. Refused ones and those being scored are never more than ten together, over
 * all processes of a host: beyond that a request waits for its turn, so that a burst is no way around the count. The
 * limits count it all, under a name beside the client's own, so that its own requests are never concerned; and for the
 * networks around a client of IPv6 too, where 40 of a /56 and 160 of a /48 are the end.
 */
export interface CrossSiteTurns {
  /** Judges the request in its turn, and counts it if that refused it. Without a turn it is refused as by a limit. */
  take (transaction: Transaction, judge: () => Promise<Refusal | null>): Promise<Refusal | null>
  /** One more was refused, as it turned out afterwards. */
  count (transaction: Transaction): Promise<void>
}

const REFUSED = 'cross-site'
const UNDER_WAY = 'cross-site-turn'
const REFUSED_TO_HOLD = 3
const REFUSED_MAX = 10
const TEN_MINUTES_MS = 600_000
/** A second of waiting in all; a score takes some 0.1 ms. */
const LOOK_MS = 50
const LOOKS_MAX = 20

interface TurnsParts {
  limits: Pick<Limits, 'takeNamed' | 'peekNamed' | 'refundNamed' | 'peek' | 'hold' | 'block'>
  clock: Pick<Clock, 'after'>
  log: Pick<Logger, 'info'>
}

export function createCrossSiteTurns ({ limits, clock, log }: TurnsParts): CrossSiteTurns {
  const lines = createTurnLines({ clock, lookMs: LOOK_MS })

  async function take (transaction: Transaction, judge: () => Promise<Refusal | null>): Promise<Refusal | null> {
    const key = countedAs(transaction)
    const refused = await begin(key)
    if (refused !== null) return refuseByLimit(transaction, refused)
    try {
      return await judge()
    } finally {
      // Counted before its turn ends, so that it is missing from neither.
      const counts = isRefused(transaction)
      if (counts) await count(transaction)
      if (counts || !lines.hand(key)) end(key)
    }
  }

  /** Null when its turn has come; else the answer that refuses it. */
  async function begin (key: string): Promise<LimitAnswer | null> {
    if (!lines.isBusy(key)) {
      const known = shut(key)
      if (known !== null || await mayBegin(key)) return known
    }
    const place = lines.join(key)
    for (let looks = 0; place !== null && looks < LOOKS_MAX; looks++) {
      if (await place.wait() === 'turn') return null
      const known = shut(key)
      if (known !== null || (place.isFirst() && await mayBegin(key))) {
        place.leave()
        lines.wake(key)
        return known
      }
    }
    place?.leave()
    lines.wake(key)
    return { ...limits.peekNamed('standard', REFUSED, key), ...IN_A_MOMENT }
  }

  /** Takes a turn if there is one. */
  async function mayBegin (key: string): Promise<boolean> {
    const underWay = (await limits.takeNamed('standard', UNDER_WAY, key)).count
    if (underWay + limits.peekNamed('standard', REFUSED, key).count <= REFUSED_MAX) return true
    limits.refundNamed('standard', UNDER_WAY, key)
    return false
  }

  function end (key: string): void {
    limits.refundNamed('standard', UNDER_WAY, key)
    lines.wake(key)
  }

  /** The answer to an address whose cross-site requests are all refused, else null. */
  function shut (key: string): LimitAnswer | null {
    const refused = limits.peekNamed('standard', REFUSED, key)
    if (refused.count < REFUSED_MAX) return null
    const blocked = limits.peek('standard', key)
    return blocked.retryAfterMs > refused.retryAfterMs ? blocked : refused
  }

  async function count (transaction: Transaction): Promise<void> {
    const key = countedAs(transaction)
    const refused = await limits.takeNamed('standard', REFUSED, key)
    if (!refused.allowed || refused.count < REFUSED_TO_HOLD) return
    if (refused.count < REFUSED_MAX) return limits.hold(key, TEN_MINUTES_MS)
    // The window empties by sixteenths: none of the ten may be in it any more when the block ends.
    const ms = Math.max(TEN_MINUTES_MS, limits.peekNamed('standard', REFUSED, key).retryAfterMs)
    limits.block('standard', key, ms)
    const about = { client: transaction.client, assessment: transaction.id, seconds: Math.ceil(ms / 1000) }
    log.info(about, 'requests of other sites from an address are refused')
  }

  return { take, count }
}

const IN_A_MOMENT = { allowed: false, remaining: 0, retryAfterSeconds: 1, retryAfterMs: 1000, resetSeconds: 1 }

/** By its score or because it has none of its own doing; not for the work of others before it. */
function isRefused ({ refusedBy, unjudged }: Transaction): boolean {
  return refusedBy === 'score' || (refusedBy === 'unjudged' && unjudged !== 'backlog' && unjudged !== 'full')
}
