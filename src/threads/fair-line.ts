/**
 * A line in front of scoring threads, in which clients take turns, however many requests each has; addresses of IPv6 by
 * their /48, which is what one customer of a provider holds.
 *
 * What one client has in line is counted by its predicted thread time: within its budget it never takes anybody else's
 * turn, and what is beyond waits for its own. Only a few are handed on at a time; of those that wait here the pool
 * answers some without a thread meanwhile, and they are dropped when their turn comes. A line that is full of work
 * takes no more from anonymous clients; signed-in ones are taken as long as there is a place, and are answered in a
 * hurry beyond.
 */
import { ipv6Words, isAddressKey } from '../std/ip.ts'
import { isWanted, weightOf } from './shapes.ts'
import type { ThreadCost } from './thread-cost.ts'
import type { Waiting } from './shapes.ts'

export interface LineOptions {
  /** True while the threads may be given one more. */
  hasRoom (): boolean
  /** False when they take none. */
  hand (waiting: Waiting): boolean
  /** Gets those that the threads did not take. */
  refuse (waiting: Waiting): void
  cost: ThreadCost
  /** Requests of one client, and of all. */
  ofClientMax: number
  ofAllMax: number
  /** Thread time in line from which anonymous clients are taken no more, us. */
  fullUs: number
}

/** `backlog`: this client has as many in line as one may. `full`: all together have. */
type Place = 'taken' | 'backlog' | 'full'

/** Thread time of one client in line, us. */
const BUDGET_US = { anonymous: 100_000, known: 400_000 }
/** That many a client may have in line whatever they take. */
const ALWAYS_MAX = 8
/** A thread that got less of the time than this was kept waiting by the machine: under half a processor it gets 0.5. */
const STARVED_SHARE = 0.6

interface Client {
  readonly key: string
  readonly budgetUs: number
  /** In the order of their arrival. */
  readonly queue: Entry[]
  /** Here and with the thread. */
  count: number
  predictedUs: number
  /** Thread time spent on it as long as it has been in line. */
  spentUs: number
}

/** What is known of one request in line. */
interface Entry {
  readonly waiting: Waiting
  readonly client: Client
  readonly bytes: number
  readonly predictedUs: number
  /** Of its client, when it came: what stood before it, and the thread time spent so far. */
  readonly requestsBefore: number
  readonly predictedBeforeUs: number
  readonly clientSpentThenUs: number
  /** Thread time spent on all when it came. */
  readonly allSpentThenUs: number
}

export class FairLine {
  readonly #options: LineOptions
  readonly #clients = new Map<string, Client>()
  /** Clients of whom some wait here, in the order of their turns. */
  readonly #turns = new Map<string, Client>()
  readonly #entries = new Map<Waiting, Entry>()
  #waitingHere = 0
  #spentUs = 0

  constructor (options: LineOptions) {
    this.#options = options
  }

  /** Requests here and with the threads. */
  get size (): number {
    return this.#entries.size
  }

  /** Requests that wait here for their turn. */
  get waiting (): number {
    return this.#waitingHere
  }

  has (waiting: Waiting): boolean {
    return this.#entries.has(waiting)
  }

  push (waiting: Waiting): Place {
    const { cost, ofClientMax, ofAllMax, fullUs } = this.#options
    const isAnonymous = isAddressKey(waiting.ask.client)
    const key = lineKey(waiting.ask.client)
    const known = this.#clients.get(key)
    if (known !== undefined && known.count >= ofClientMax) return 'backlog'
    if (this.#entries.size >= ofAllMax || (isAnonymous && this.#predictedUs() >= fullUs)) return 'full'
    const budgetUs = isAnonymous ? BUDGET_US.anonymous : BUDGET_US.known
    const client = known ?? { key, budgetUs, queue: [], count: 0, predictedUs: 0, spentUs: 0 }
    this.#clients.set(key, client)
    const bytes = weightOf(waiting)
    const entry: Entry = {
      waiting,
      client,
      bytes,
      predictedUs: cost.predictUs(key, bytes),
      requestsBefore: client.count,
      predictedBeforeUs: client.predictedUs,
      clientSpentThenUs: client.spentUs,
      allSpentThenUs: this.#spentUs
    }
    this.#entries.set(waiting, entry)
    client.queue.push(entry)
    client.count++
    client.predictedUs += entry.predictedUs
    this.#waitingHere++
    if (!this.#turns.has(key)) this.#turns.set(key, client)
    this.feed()
    return 'taken'
  }

  /** Hands on those whose turn it is, as long as there is room. */
  feed (): void {
    const { hasRoom, hand, refuse } = this.#options
    while (this.#waitingHere > 0 && hasRoom()) {
      const { waiting } = this.#takeNext()
      if (isWanted(waiting) && hand(waiting)) continue
      this.#forget(waiting)
      if (isWanted(waiting)) refuse(waiting)
    }
  }

  /** A thread is through with one; it spent `cpuUs`. Others move up. */
  leave (waiting: Waiting, cpuUs: number): void {
    const entry = this.#forget(waiting)
    // Others than those of this line may have made room.
    if (entry === null) return this.feed()
    this.#spentUs += cpuUs
    entry.client.spentUs += cpuUs
    if (cpuUs > 0) this.#options.cost.learn(entry.client.key, entry.bytes, cpuUs)
    this.feed()
  }

  /** Takes one out that waits here; false for one that the thread has, or that is not here. */
  withdraw (waiting: Waiting): boolean {
    const entry = this.#entries.get(waiting)
    const at = entry === undefined ? -1 : entry.client.queue.indexOf(entry)
    if (entry === undefined || at === -1) return false
    const { client } = entry
    client.queue.splice(at, 1)
    if (client.queue.length === 0) this.#turns.delete(client.key)
    this.#waitingHere--
    this.#forget(waiting)
    return true
  }

  /** True for a request that still waits because of what its own client has brought, and not because we are slow. */
  isOwnBacklog (waiting: Waiting, nowMs: number): boolean {
    const entry = this.#entries.get(waiting)
    if (entry === undefined || entry.requestsBefore < ALWAYS_MAX) return false
    const { client } = entry
    // As it was predicted, or as it turned out where that was more.
    const ownUs = Math.max(entry.predictedBeforeUs, client.spentUs - entry.clientSpentThenUs)
    if (ownUs <= client.budgetUs) return false
    const isStarved = (this.#spentUs - entry.allSpentThenUs) / 1000 < STARVED_SHARE * (nowMs - waiting.startedMs)
    // Twice the budget is more than half a processor's worth of waiting explains.
    return !isStarved || ownUs > 2 * client.budgetUs
  }

  /** Takes out all that wait here. */
  drain (): Waiting[] {
    const left = [...this.#turns.values()].flatMap(({ queue }) => queue.map(({ waiting }) => waiting))
    for (const waiting of left) this.#forget(waiting)
    this.#turns.clear()
    this.#waitingHere = 0
    return left
  }

  /** Work of all in line; of each client what is within its budget, so that none fills the line alone. */
  #predictedUs (): number {
    let sum = 0
    for (const client of this.#clients.values()) sum += Math.min(client.predictedUs, client.budgetUs)
    return sum
  }

  #takeNext (): Entry {
    const [key, client] = this.#turns.entries().next().value as [string, Client]
    this.#turns.delete(key)
    const next = client.queue.shift() as Entry
    this.#waitingHere--
    if (client.queue.length > 0) this.#turns.set(key, client)
    return next
  }

  #forget (waiting: Waiting): Entry | null {
    const entry = this.#entries.get(waiting)
    if (entry === undefined) return null
    this.#entries.delete(waiting)
    const { client } = entry
    client.predictedUs -= entry.predictedUs
    if (--client.count === 0) this.#clients.delete(client.key)
    return entry
  }
}

const words = new Int32Array(4)

/** Whose turn it is: the client, or its /48 for an address of IPv6. */
function lineKey (client: string): string {
  const prefixAt = client.indexOf('/64')
  if (!isAddressKey(client) || prefixAt < 0) return client
  ipv6Words(client.slice(3, prefixAt), words)
  return `ip:${words[0]}:${(words[1] as number) >>> 16}/48${client.slice(prefixAt + 3)}`
}
