/**
 * The most recent receipts of this process, whatever their score, for some minutes: so that an id from a header can be
 * looked up at once. Small ones are kept as numbers and bytes (packed-receipts.ts), others as the walk had them;
 * nothing is redacted or written until it is asked for or stored. Bounded in number, bytes and age; the oldest goes
 * first. A body too large for a receipt is let go at once:
 * to hold 64 KiB for seconds moves it to the old generation, and a flood of them cost a collection of all memory 3 to 5
 * times a second, 20 ms each.
 */
import { createIdIndex } from './id-index.ts'
import { createPackedReceipts, PLACE_BYTES } from './packed-receipts.ts'
import { redactFactors } from './redact-evidence.ts'
import { BODY_KEPT_MAX } from './redact-parts.ts'
import { redactObservation, redactPath } from './redact.ts'
import type { Receipt, Recorded, Refused } from './receipt.ts'
import type { Assessment } from './shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Evidence } from '../detect/shapes.ts'

export interface RecentReceipts {
  /** Returns the receipt as it is kept: without a large body. */
  keep (receipt: Receipt): Receipt
  get (id: string): Receipt | null
  /**
   * Scored ones with such evidence, newest first; those with large bodies without them (`isWhole`). Each is made when
   * it is asked for, in some 3 us.
   */
  recent (hasEvidence: (evidence: Evidence) => boolean): Iterable<Recorded>
  size (): number
  bytes (): number
}

/** Together with BYTES_MAX: as many as there are places for, of packed ones alone. */
const COUNT_MAX = 16_384
const BYTES_MAX = 32 * 1_048_576
const AGE_MS_MAX = 15 * 60_000
/** Score, factors, snapshot and the objects around them. */
const RECEIPT_BYTES = 2_048

/** Stands for a body that was too large: longer than what redaction shows, which leaves it out as it would that one. */
const BODY_LEFT_OUT = new Uint8Array(BODY_KEPT_MAX + 1)

export function createRecentReceipts (
  clock: Pick<Clock, 'monotonic'>,
  bounds = { count: COUNT_MAX, bytes: BYTES_MAX }
): RecentReceipts {
  /** Places in the order of their coming, `first` the oldest; a map that loses its oldest gets slow to walk. */
  const places = bounds.count + 2
  const packed = createPackedReceipts(places)
  const ids = createIdIndex(places)
  /** Of those that are not packed. */
  const whole = new Array<Receipt | null>(places).fill(null)
  const sinceMs = new Float64Array(places)
  const sizes = new Float64Array(places)
  let first = 0
  let next = 0
  let bytes = 0

  const lengthOfLine = (): number => (next - first + places) % places

  function dropOld (nowMs: number): void {
    while (first !== next) {
      const isYoung = nowMs - (sinceMs[first] as number) <= AGE_MS_MAX
      if (lengthOfLine() <= bounds.count && bytes <= bounds.bytes && isYoung) return
      ids.clear(first)
      if (whole[first] === null) packed.clear(first)
      whole[first] = null
      bytes -= sizes[first] as number
      first = (first + 1) % places
    }
  }

  return {
    keep (given) {
      const id = idOf(given)
      const nowMs = clock.monotonic()
      const isPacked = 'score' in given && packed.put(next, given)
      const receipt = isPacked ? given : withBodyOfItsOwn(given)
      whole[next] = isPacked ? null : receipt
      sinceMs[next] = nowMs
      sizes[next] = isPacked ? PLACE_BYTES : bytesOf(receipt)
      bytes += sizes[next] as number
      ids.put(next, id)
      next = (next + 1) % places
      dropOld(nowMs)
      return receipt
    },
    get (id) {
      dropOld(clock.monotonic())
      const place = ids.placeOf(id)
      return place === -1 ? null : whole[place] ?? packed.get(place)
    },
    * recent (isWanted) {
      for (let left = lengthOfLine(), place = next; left > 0; left--) {
        place = (place - 1 + places) % places
        if (!ids.isLatest(place)) continue
        const receipt = whole[place] as Receipt | null
        if (receipt === null) {
          if (packed.hasEvidence(place, isWanted)) yield packed.get(place)
        } else if ('score' in receipt && receipt.score.factors.some(({ evidence }) => evidence.some(isWanted))) {
          yield receipt
        }
      }
    },
    size: lengthOfLine,
    bytes: () => bytes
  }
}

/** The id of a receipt of either kind. */
export function idOf (receipt: Receipt): string {
  return 'score' in receipt ? receipt.observation.id : receipt.id
}

/**
 * Without a large body, and with a copy of one that is a part of larger memory: that memory is lent to the next request
 * (a body that came too slowly, or of 16 KiB exactly, lies in it too), whose body would show in this receipt. The
 * observation stays as it is for the playbooks and whoever else is at it.
 */
function withBodyOfItsOwn<R extends Receipt> (receipt: R): R {
  if (!('score' in receipt) || receipt.observation.body === null) return receipt
  const { observation, observation: { body } } = receipt
  const isLarge = body.length > BODY_KEPT_MAX
  if (!isLarge && body.buffer.byteLength <= BODY_KEPT_MAX) return receipt
  const kept = isLarge ? BODY_LEFT_OUT : new Uint8Array(body)
  return { ...receipt, isWhole: !isLarge, observation: { ...observation, body: kept } }
}

/** Header texts are counted by their number: adding up their lengths would cost more than the rest. */
function bytesOf (receipt: Receipt): number {
  if (!('score' in receipt)) return RECEIPT_BYTES / 4 + receipt.url.length
  const { url, headers, body } = receipt.observation
  const bodyBytes = body === null || receipt.isWhole === false ? 0 : body.length
  return RECEIPT_BYTES + url.length + headers.length * 48 + bodyBytes
}

/** The receipt as it may be stored and shown: redacted. Some 50 us for an ordinary request. */
export function describeReceipt (receipt: Receipt): Assessment {
  if (!('score' in receipt)) return describeRefused(receipt)
  const { observation, score, verdict } = receipt
  const factors = redactFactors(score.factors, observation)
  return {
    id: observation.id,
    at: receipt.at,
    client: observation.client,
    address: receipt.address,
    method: observation.method.slice(0, 64),
    path: redactPath(observation.url),
    route: observation.route,
    status: receipt.status,
    score: score.value,
    action: verdict.action,
    simulated: verdict.simulated,
    source: score.source,
    degraded: score.degraded,
    policyVersion: score.policyVersion,
    factors,
    grade: score.grade,
    notInspected: score.notInspected,
    decisionId: receipt.decisionId,
    external: receipt.external === true,
    observation: redactObservation(observation, score)
  }
}

function describeRefused (receipt: Refused): Assessment {
  return {
    id: receipt.id,
    at: receipt.at,
    client: receipt.client,
    address: receipt.address,
    method: receipt.method.slice(0, 64),
    path: redactPath(receipt.url),
    route: null,
    status: receipt.status,
    score: 0,
    action: 'BLOCK',
    simulated: false,
    source: receipt.source,
    degraded: false,
    policyVersion: '',
    factors: [],
    grade: null,
    notInspected: [],
    decisionId: receipt.decisionId,
    external: false,
    observation: null
  }
}
