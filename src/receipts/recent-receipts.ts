/**
 * The most recent receipts of this process, whatever their score, for some minutes: so that an id from a header can be
 * looked up at once. Keeps references to what the walk had anyway; nothing is redacted or written until it is asked for
 * or stored. Bounded in number, bytes and age; the oldest goes first. A body too large for a receipt is let go at once:
 * to hold 64 KiB for seconds moves it to the old generation, and a flood of them cost a collection of all memory 3 to 5
 * times a second, 20 ms each.
 */
import { redactFactors } from './redact-evidence.ts'
import { BODY_KEPT_MAX } from './redact-parts.ts'
import { redactObservation, redactPath } from './redact.ts'
import type { Assessment } from './shapes.ts'
import type { Verdict } from '../decisions/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Observation, Score } from '../detect/shapes.ts'

/** A scored request, as the walk knew it. */
export interface Recorded {
  readonly observation: Observation
  readonly score: Score
  readonly verdict: Verdict
  readonly status: number
  readonly decisionId: string | null
  readonly address: string
  /** Wall clock, ms. */
  readonly at: number
  readonly external?: boolean
  /** False where the body was too large to be kept, so that the request cannot be scored again. */
  readonly isWhole?: boolean
}

/** A request refused before it was scored. */
export interface Refused {
  readonly id: string
  readonly at: number
  readonly client: string
  readonly address: string
  readonly method: string
  readonly url: string
  readonly source: 'decision' | 'limit'
  readonly decisionId: string | null
  readonly status: number
}

export type Receipt = Recorded | Refused

export interface RecentReceipts {
  /** Returns the receipt as it is kept: without a large body. */
  keep (receipt: Receipt): Receipt
  get (id: string): Receipt | null
  /** Newest first; those with large bodies without them (`isWhole`). */
  recent (): Recorded[]
  size (): number
  bytes (): number
}

const COUNT_MAX = 20_000
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
  const byId = new Map<string, Receipt>()
  /** In the order of their coming, `first` the oldest; a map that loses its oldest entries gets slow to walk. */
  const line = new Array<Kept | null>(bounds.count + 2).fill(null)
  let first = 0
  let next = 0
  let bytes = 0

  const lengthOfLine = (): number => (next - first + line.length) % line.length

  function dropOld (nowMs: number): void {
    while (first !== next) {
      const oldest = line[first] as Kept
      if (lengthOfLine() <= bounds.count && bytes <= bounds.bytes && nowMs - oldest.sinceMs <= AGE_MS_MAX) return
      line[first] = null
      first = (first + 1) % line.length
      byId.delete(idOf(oldest.receipt))
      bytes -= oldest.bytes
    }
  }

  return {
    keep (given) {
      const receipt = withBodyOfItsOwn(given)
      const sinceMs = clock.monotonic()
      const size = bytesOf(receipt)
      bytes += size
      line[next] = { receipt, sinceMs, bytes: size }
      next = (next + 1) % line.length
      byId.set(idOf(receipt), receipt)
      dropOld(sinceMs)
      return receipt
    },
    get (id) {
      dropOld(clock.monotonic())
      return byId.get(id) ?? null
    },
    recent () {
      const recorded: Recorded[] = []
      for (const receipt of byId.values()) if ('score' in receipt) recorded.push(receipt)
      return recorded.reverse()
    },
    size: lengthOfLine,
    bytes: () => bytes
  }
}

interface Kept { readonly receipt: Receipt, readonly sinceMs: number, readonly bytes: number }

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
