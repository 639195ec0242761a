/**
 * The allowances that stand: in the memory of each process, told to the others at once, and read from the store again
 * every minute, since a message may be lost.
 */
import { NEKO_ERR_CURSOR_INVALID } from '../errors.ts'
import { isBoundAllowance, type StoredAllowance } from './shapes.ts'
import type { Allowance } from '../detect/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Collection, Page } from '../storage/port.ts'

export interface StandingAllowances {
  get (id: string): StoredAllowance | null
  all (): StoredAllowance[]
  /** Newest first. @throws NEKO_ERR_CURSOR_INVALID */
  page (options: { first: number, after: string | null }): Page<StoredAllowance>
  /** They stand here. */
  hear (allowances: readonly StoredAllowance[]): void
  /** They stand here, and in the other processes once they hear of it. */
  put (allowances: readonly StoredAllowance[]): void
  /** It has ended here, and in the other processes once they hear of it. */
  end (id: string, atMs: number): void
  /** When it last ended, as far as this process knows; -Infinity where it did not. ms since the epoch */
  endedAt (id: string): number
  /** What the store holds stands, and nothing else. */
  load (): Promise<void>
  close (): void
}

interface StandingAllowancesParts {
  store: Pick<Collection<StoredAllowance>, 'find'>
  fleet: Pick<Fleet, 'publish' | 'subscribe'>
  clock: Clock
  /** The scorer leaves out these from now on. */
  allow (allowances: readonly Allowance[]): void
  /** A decoy stays one whatever somebody allowed before it was made. */
  isDecoy (target: string): boolean
  log: { warn: (facts: object, message: string) => void }
}

/** As many as one page of the store; a person made each of them. */
export const ALLOWANCES_MAX = 1_000
const RELOAD_MS = 60_000
/** People change allowances seldom: more changes than readings in a row are met by the next load. */
const READINGS_MAX = 5
/** A list of allowances, or the id of one that has ended. */
const TOPIC = 'assessments.allowances'

export function createStandingAllowances (parts: StandingAllowancesParts): StandingAllowances {
  const { store, fleet, clock, log } = parts
  let standing = new Map<string, StoredAllowance>()
  const ended = new BoundedMap<string, number>(ALLOWANCES_MAX)
  /** Counts what was put and ended: a reading of the store that began before is out of date. */
  let changes = 0

  function apply (): void {
    parts.allow([...standing.values()].filter(({ target }) => !parts.isDecoy(target)))
  }

  function take (allowances: readonly StoredAllowance[]): void {
    changes++
    let isNew = false
    for (const one of allowances) {
      if (one.expiresAt <= clock.now() || (standing.size >= ALLOWANCES_MAX && !standing.has(one.id))) continue
      isNew ||= !standing.has(one.id)
      standing.set(one.id, one)
    }
    if (isNew) apply()
  }

  function drop (id: string, atMs = clock.now()): void {
    changes++
    ended.set(id, atMs)
    if (standing.delete(id)) apply()
  }

  /** A reading that met a change is out of date, and is done again: the next one is a minute away. */
  async function load (): Promise<void> {
    for (let reading = 0; reading < READINGS_MAX; reading++) {
      const before = changes
      const { items } = await store.find({ sort: [['createdAt', -1]], first: ALLOWANCES_MAX })
      if (changes === before) return replaceBy(items)
    }
  }

  function replaceBy (items: readonly StoredAllowance[]): void {
    const held = standing
    standing = new Map(items.filter(isBoundAllowance).map((one) => [one.id, one]))
    if (standing.size !== held.size || [...standing.keys()].some((id) => !held.has(id))) apply()
  }

  const unsubscribe = fleet.subscribe(TOPIC, (message) => {
    if (typeof message === 'string') drop(message)
    else if (Array.isArray(message)) take((message as unknown[]).filter(isBoundAllowance))
  })
  const timer = clock.every(RELOAD_MS, () => {
    // Also while the store is away.
    for (const one of standing.values()) if (one.expiresAt <= clock.now()) drop(one.id)
    load().catch((error: unknown) => log.warn({ err: error }, 'allowances could not be read again'))
  })

  return {
    get (id) {
      const one = standing.get(id)
      return one === undefined || one.expiresAt <= clock.now() ? null : one
    },
    all: () => [...standing.values()],
    page: (options) => pageOf([...standing.values()].filter((one) => one.expiresAt > clock.now()), options),
    hear: take,
    put (allowances) {
      take(allowances)
      fleet.publish(TOPIC, allowances as unknown as Json)
    },
    endedAt: (id) => ended.get(id) ?? -Infinity,
    end (id, atMs) {
      drop(id, atMs)
      fleet.publish(TOPIC, id)
    },
    load,
    close () {
      timer.cancel()
      unsubscribe()
    }
  }
}

function pageOf (
  allowances: StoredAllowance[],
  { first, after }: { first: number, after: string | null }
): Page<StoredAllowance> {
  allowances.sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
  const at = after === null ? -1 : allowances.findIndex((one) => one.id === after)
  if (after !== null && at === -1) throw new NEKO_ERR_CURSOR_INVALID()
  const items = allowances.slice(at + 1, at + 1 + first)
  return { items, cursors: items.map(({ id }) => id), hasNextPage: at + 1 + first < allowances.length }
}
