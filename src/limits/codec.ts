import type { Json } from '../std/json.ts'
import { admitted, refused } from './answers.ts'
import { netBuckets } from './nets.ts'
import { bucketOf, TIERS, ratesInForce } from './rates.ts'
import type { Bucket, LimitAnswer, Order, Rate, RatesInForce } from './shapes.ts'

/**
 * How orders and answers look between a worker and the primary of its host: arrays, because each request's travel.
 * The worker's own rates travel along, since a reload gives workers new ones and leaves the primary as it was.
 */
export const ORDERS_TOPIC = 'limits.orders'
export const ANSWERS_TOPIC = 'limits.answers'

/**
 * News that need no answer: points given back, points admitted without asking, the rest of a lease that ended, a
 * violation that the worker saw.
 */
export interface Update {
  about: 'refund' | 'admitted' | 'returned' | 'violation'
  order: Order
  /** Of a violation. */
  ms: number
}
/** `seq` 0 asks for no answer. */
export interface Batch { seq: number, inForce: RatesInForce, updates: Update[], orders: Order[] }
/** The share of others in a bucket: its count, and for how long it refuses everything. */
export interface Told { key: string, rate: Rate, count: number, refusedMs: number }
/** The primary's answer to one order. */
interface Counted {
  answer: LimitAnswer
  /** The client's requests count at the strict rate. */
  held: boolean
  /** More points, counted ahead for the process that asks, and for how long. */
  lease: { points: number, ms: number } | null
}

/** Which limit answered: 0 the client's own, 1 the one it is held to, from 2 on those of its networks (nets.ts). */
const HELD = 1
const OF_NETS = 2
const ABOUT: ReadonlyArray<Update['about']> = ['refund', 'admitted', 'returned', 'violation']

export function writeRates ({ rates, shadow, lengthenedSeconds }: RatesInForce): Json {
  return [
    ...TIERS.map((tier) => [rates[tier].max, rates[tier].windowSeconds, rates[tier].blockSeconds]),
    shadow ? 1 : 0,
    lengthenedSeconds
  ]
}

export function writeBatch (seq: number, inForce: Json, updates: readonly Update[], orders: readonly Order[]): Json {
  return [
    seq,
    inForce,
    updates.map(({ about, order, ms }) => [ABOUT.indexOf(about), ms, writeOrder(order)]),
    orders.map(writeOrder)
  ]
}

export function readBatch (message: Json): Batch {
  const [seq, inForce, updates, orders] = message as [number, Json[], Array<[number, number, Json]>, Json[]]
  const rates = TIERS.map((tier, i) => {
    const [max, windowSeconds, blockSeconds] = inForce[i] as [number, number, number]
    return [tier, { max, windowSeconds, blockSeconds }]
  })
  return {
    seq,
    inForce: ratesInForce(Object.fromEntries(rates) as RatesInForce['rates'], {
      shadow: inForce[TIERS.length] === 1,
      lengthenedSeconds: inForce[TIERS.length + 1] as number
    }),
    updates: updates.map(([about, ms, order]) => ({ about: ABOUT[about]!, ms, order: readOrder(order) })),
    orders: orders.map(readOrder)
  }
}

export function writeOrder ({ kind, tier, client, points }: Order): Json {
  return [kind, TIERS.indexOf(tier), client, points]
}

export function readOrder (message: Json): Order {
  const [kind, tier, client, points] = message as [string, number, string, number]
  return { kind, tier: TIERS[tier]!, client, points }
}

export function writeCounted ({ answer, held, lease }: Counted): Json {
  const { allowed, count, resetSeconds, retryAfterSeconds, retryAfterMs, crossed, net } = answer
  if (allowed) {
    return lease === null
      ? [count, resetSeconds, held ? 1 : 0]
      : [count, resetSeconds, 0, 0, 0, 0, lease.points, Math.floor(lease.ms)]
  }
  const which = net === undefined ? Number(held) : OF_NETS + net
  return [count, resetSeconds, which, retryAfterSeconds, retryAfterMs, crossed ? 1 : 0]
}

export function readCounted (message: Json, order: Order, inForce: RatesInForce): Counted & { bucket: Bucket } {
  const [count, resetSeconds, which, ...more] = message as [number, number, number, ...number[]]
  const [retryAfterSeconds = 0, retryAfterMs = 0, crossed = 0, points = 0, ms = 0] = more
  const held = which === HELD
  const bucket = which < OF_NETS ? bucketOf(order, inForce, held) : netBuckets(order, inForce)[which - OF_NETS]!
  const common = { tier: bucket.tier, rate: bucket.rate, count, store: 'primary' } as const
  return {
    answer: retryAfterSeconds === 0
      ? admitted({ ...common, resetSeconds })
      : { ...refused({ ...common, retryAfterSeconds, retryAfterMs, crossed: crossed === 1 }), ...netOf(which) },
    bucket,
    held,
    lease: points === 0 ? null : { points, ms }
  }
}

function netOf (which: number): { net?: number } {
  return which < OF_NETS ? {} : { net: which - OF_NETS }
}

export function writeTold (told: Iterable<Told>): Json {
  return Array.from(
    told,
    ({ key, rate, count, refusedMs }) => [key, count, rate.max, rate.windowSeconds, Math.round(refusedMs)]
  )
}

export function readTold (message: Json): Told[] {
  const rows = message as Array<[string, number, number, number, number]>
  return rows.map(([key, count, max, windowSeconds, refusedMs]) =>
    ({ key, count, rate: { max, windowSeconds, blockSeconds: 0 }, refusedMs })
  )
}
