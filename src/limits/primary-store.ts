import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Counters } from './counters.ts'
import { createPendingUpdates } from './pending-updates.ts'
import { createWorkerLeases } from './worker-leases.ts'
import { createRefusals } from './refusals.ts'
import { bucketOf, driftOf } from './rates.ts'
import type { Bucket, LimitAnswer, LimitStore, Order, RatesInForce } from './shapes.ts'
import { ANSWERS_TOPIC, ORDERS_TOPIC, readCounted, readOrder, readTold, writeBatch, writeRates } from './codec.ts'
import type { Update } from './codec.ts'

/**
 * A worker's side: the primary counts for all processes of the host, so that N pass at once and never more, whichever
 * process a connection lands on.
 *
 * Cheap: what one turn of the event loop orders travels in one message, and while that is under way the next
 * ones gather; what is known to be refused for a while is refused here; a busy client's requests are lent
 * ahead (worker-leases.ts); GraphQL points are asked for only once a client has used up this process's share
 * of them, and told afterwards (so a client gets at most that share more than its budget, for as long as a
 * message takes).
 *
 * When the primary does not answer in time this process decides alone, by its share of what is left as far as it knows,
 * and goes on so, without waiting, until the primary is heard again: what it admitted meanwhile is then told.
 */
export interface PrimaryStoreOptions {
  fleet: Fleet
  clock: Clock
  log: Pick<Logger, 'info' | 'warn'>
  counters: Counters
  inForce: RatesInForce
}

interface Waiting {
  order: Order
  settle: (answer: LimitAnswer) => void /** Decided here, since the answer was late. */
  decided: LimitAnswer | null
}
interface Sent { seq: number, atMs: number, waiting: Waiting[] }

/** What a shared limiter may cost a request before the process decides alone. */
export const ANSWER_MS_MAX = 100
/**
 * One that hands out hundreds of connections meanwhile (a burst at a cold start) is busy, not silent: it is
 * waited for a little longer.
 */
const BUSY_MS_MAX = 500
/** Per message: with keys of a hundred characters well under 64 KiB. */
const BATCH_MAX = 250
/** Orders that wait for their batch; more are decided here. */
const QUEUE_MAX = 5_000
/** Notes wait this long for an order to travel with. */
const NOTES_MS = 100
/** A silent primary is asked again this often; it may have lost what it was asked. */
const PROBE_MS = 1_000
/** What was lent and not used is given back this soon after its time. */
const ENDED_MS = 500

export function createPrimaryStore ({ fleet, clock, log, counters, inForce: first }: PrimaryStoreOptions): LimitStore {
  const { windows } = counters
  const refusals = createRefusals(clock)
  const updates = createPendingUpdates()
  const leases = createWorkerLeases(clock)
  let inForce = first
  let writtenRates = writeRates(inForce)
  let queue: Waiting[] = []
  let sent: Sent | null = null
  let seq = 0
  let isSilent = false
  let isFlushing = false
  let watch: NodeJS.Timeout | null = null
  let notesTimer: NodeJS.Timeout | null = null

  function bucket (order: Order): Bucket {
    return bucketOf(order, inForce, order.kind === 'request' && counters.isHeld(order.client))
  }

  function take (order: Order): LimitAnswer | Promise<LimitAnswer> {
    const from = bucket(order)
    const known = refusals.find(from) ?? (order.kind === 'cost' ? takeUnasked(order, from) : takeLent(from))
    if (known !== null) return known
    if (isSilent || queue.length >= QUEUE_MAX) return decideAlone(order)
    return new Promise((resolve) => {
      queue.push({ order, settle: resolve, decided: null })
      flushSoon()
    })
  }

  /** What was lent is in the count that this process was told. */
  function takeLent ({ key, tier, rate }: Bucket): LimitAnswer | null {
    if (leases.size() === 0) return null
    const left = leases.spend(key)
    if (left < 0) {
      // Before anything is asked for again.
      giveBackLater(key)
      return null
    }
    const told = windows.peek(tier, key, rate)
    const count = Math.max(0, told.count - left)
    return {
      ...told,
      allowed: true,
      remaining: Math.max(0, rate.max - count),
      retryAfterSeconds: 0,
      retryAfterMs: 0,
      count,
      store: 'primary'
    }
  }

  function takeUnasked (order: Order, { key, tier, rate }: Bucket): LimitAnswer | null {
    const share = Math.floor(rate.max / Math.max(1, fleet.processCount()))
    if (isSilent || windows.peek(tier, key, rate).count + order.points > share) return null
    queueUpdate('admitted', order)
    return { ...windows.take(tier, key, rate, order.points), store: 'primary' }
  }

  function flushSoon (): void {
    if (isFlushing || sent !== null) return
    isFlushing = true
    // After all sockets of this turn were read.
    setImmediate(flush)
  }

  function flush (): void {
    isFlushing = false
    if (sent !== null || queue.length === 0) return
    const waiting = queue.length <= BATCH_MAX ? queue : queue.slice(0, BATCH_MAX)
    queue = queue.length <= BATCH_MAX ? [] : queue.slice(BATCH_MAX)
    ask(waiting)
  }

  function ask (waiting: Waiting[]): void {
    sent = { seq: ++seq, atMs: clock.monotonic(), waiting }
    if (watch === null) watchFor(ANSWER_MS_MAX)
    send(seq, waiting.map(({ order }) => order))
  }

  function send (ofSeq: number, orders: Order[]): void {
    fleet.publish(
      ORDERS_TOPIC,
      writeBatch(ofSeq, writtenRates, isSilent ? [] : updates.draw(BATCH_MAX), orders),
      { processId: fleet.primaryId! }
    )
  }

  function queueUpdate (about: Update['about'], order: Order, ms = 0): void {
    updates.add({ about, order, ms })
    notesTimer ??= setTimeout(sendNotes, NOTES_MS).unref()
  }

  /** Those that found no order to travel with. A silent primary gets them when it is back. */
  function sendNotes (): void {
    notesTimer = null
    while (!isSilent && updates.size() > 0) send(0, [])
  }

  function onAnswers (message: Json, from: string): void {
    if (from !== fleet.primaryId) return
    const [batches, told, recalls] = message as [Array<[number, Json[]]>, Json, Json[]]
    for (const [ofSeq, counted] of batches) if (sent !== null && ofSeq === sent.seq) settle(sent, counted)
    for (const { key, rate, count, refusedMs } of readTold(told)) {
      windows.tell(key, rate, count + updates.unsent(key))
      refusals.set(key, refusedMs)
    }
    for (const order of recalls) giveBack(readOrder(order))
    if (isSilent) resume()
    if (queue.length > 0 && leases.size() > 0) queue = queue.filter(({ order, settle }) => !settleLent(order, settle))
    if (queue.length > 0) flushSoon()
  }

  /** What was lent serves those first that were waiting to ask. */
  function settleLent (order: Order, settle: (answer: LimitAnswer) => void): boolean {
    const answer = takeLent(bucket(order))
    if (answer !== null) settle(answer)
    return answer !== null
  }

  /** The primary waits for this, so it travels at once, and also when it is nothing. */
  function giveBack (order: Order): void {
    const { key } = bucketOf(order, inForce, false)
    const left = leases.empty(key) ?? { ...order, points: 0 }
    // A lease that ended by itself is among the updates.
    sendNotes()
    windows.refund(key, left.points)
    fleet.publish(
      ORDERS_TOPIC,
      writeBatch(0, writtenRates, [{ about: 'returned', order: left, ms: 0 }], []),
      { processId: fleet.primaryId! }
    )
  }

  function giveBackLater (key: string): void {
    const left = leases.empty(key)
    if (left === null || left.points === 0) return
    windows.refund(key, left.points)
    queueUpdate('returned', left)
  }

  function settle ({ waiting, atMs }: Sent, counted: Json[]): void {
    sent = null
    for (const [i, { order, settle, decided }] of waiting.entries()) {
      const { answer, lease, bucket: { key, rate } } = readCounted(counted[i]!, order, inForce)
      windows.tell(key, rate, answer.count + (lease?.points ?? 0) + updates.unsent(key))
      // Its time runs from when it was asked for: then it cannot end here later than where it is counted.
      if (lease !== null) leases.put(key, order, { points: lease.points, untilMs: atMs + lease.ms })
      // A cheaper operation may still fit where a costly one did not.
      if (!answer.allowed && order.kind !== 'cost') refusals.set(key, answer.retryAfterMs)
      if (decided === null) settle(answer)
      else if (answer.allowed && !decided.allowed) queueUpdate('refund', order)
    }
  }

  /** Each sibling is taken to admit as many of what is left as this process does. */
  function decide (order: Order): LimitAnswer {
    const processes = Math.max(1, fleet.processCount())
    const { key, tier, rate } = bucket(order)
    // A share that is used up is no crossing of the client's limit, and blocks nobody.
    const shared = { max: rate.max - driftOf(rate), windowSeconds: rate.windowSeconds, blockSeconds: 0 }
    const answer = windows.take(tier, key, shared, order.points * processes)
    return { ...answer, limit: rate.max, remaining: Math.floor(answer.remaining / processes), crossed: false }
  }

  function decideAlone (order: Order): LimitAnswer {
    const answer = decide(order)
    if (answer.allowed) queueUpdate('admitted', order)
    return answer
  }

  function watchFor (ms: number): void {
    // By the time it is looked at, what lies in the channel has been read: a stall of our own is no silence
    // of the primary's.
    watch = setTimeout(() => setImmediate(look), ms).unref()
  }

  function look (): void {
    watch = null
    const now = clock.monotonic()
    if (isSilent) {
      if (sent === null || now - sent.atMs >= PROBE_MS) ask([])
      return watchFor(PROBE_MS)
    }
    // From when it was sent: a turn of our own that took long before that says nothing of the primary.
    if (sent === null) return
    const waitMs = Math.min(
      BUSY_MS_MAX - (now - sent.atMs),
      ANSWER_MS_MAX - (now - Math.max(sent.atMs, fleet.primaryHeardMs?.() ?? 0))
    )
    if (waitMs > 0) return watchFor(waitMs)
    isSilent = true
    log.warn(
      { waitedMs: Math.round(now - sent.atMs) },
      'the primary does not count: limits are by the share of this process'
    )
    decideWaiting()
    watchFor(PROBE_MS)
  }

  function decideWaiting (): void {
    for (const one of sent?.waiting ?? []) {
      one.decided = decide(one.order)
      one.settle(one.decided)
    }
    // What was sent the primary will count; what was not is told when it is back.
    for (const { order, settle } of queue) settle(decideAlone(order))
    queue = []
  }

  function resume (): void {
    isSilent = false
    log.info({ told: updates.size() }, 'the primary counts again: limits are shared by all processes')
    // Before any order that comes now: the channel keeps the order.
    sendNotes()
  }

  const unsubscribe = fleet.subscribe(ANSWERS_TOPIC, onAnswers)
  const endedTimer = setInterval(() => {
    if (leases.size() > 0) for (const key of leases.keys('ended')) giveBackLater(key)
  }, ENDED_MS).unref()
  return {
    take,
    peek (order) {
      const from = bucketOf(order, inForce, false)
      return refusals.find(from) ?? { ...windows.peek(from.tier, from.key, from.rate), store: 'primary' }
    },
    refund (order) {
      const { key, rate } = bucketOf(order, inForce, false)
      windows.refund(key, order.points)
      queueUpdate('refund', order)
      // The client's next operation may come to another process as soon as it has its answer.
      if (order.points > driftOf(rate)) sendNotes()
    },
    countViolation (clientKey, ms) {
      const count = counters.violations(clientKey)
      if (counters.isViolating(clientKey)) return count
      counters.applyRemoteViolation(clientKey, ms, count + 1)
      queueUpdate('violation', { kind: 'attempt', tier: 'strict', client: clientKey, points: 0 }, ms)
      return count + 1
    },
    applyBlock (order, ms) {
      const { key, rate } = bucketOf(order, inForce, false)
      windows.block(key, rate, ms)
      refusals.set(key, ms)
    },
    applyForget (clientKey) {
      counters.forget(clientKey)
      leases.forget(clientKey)
      refusals.forget(clientKey)
    },
    useRates (next) {
      inForce = next
      writtenRates = writeRates(next)
    },
    close () {
      unsubscribe()
      for (const key of leases.keys('all')) giveBackLater(key)
      sendNotes()
      isSilent = true
      decideWaiting()
      if (watch !== null) clearTimeout(watch)
      if (notesTimer !== null) clearTimeout(notesTimer)
      clearInterval(endedTimer)
    }
  }
}
