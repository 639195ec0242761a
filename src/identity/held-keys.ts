import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Collection, Stored } from '../storage/port.ts'
import { authorityOf, type ShownSecret } from './authority.ts'
import type { ApiKey, Principal } from './shapes.ts'

const KEYS_HELD_MAX = 20_000
/** Ids nobody has: kept for a short while, so that a flood of one invented key does not become a flood of reads. */
const UNKNOWN_HELD_MAX = 5_000
const UNKNOWN_MS = 5_000
const READ_AGAIN_MS = 1_000

export interface HeldKey {
  expiresAt: number | null
  revoked: boolean
  secrets: ShownSecret[]
  revision: number
}

/** The API keys that this process has read, and those it knows not to exist. Of two states the higher revision wins. */
export class HeldKeys {
  readonly #store: Pick<Collection<ApiKey>, 'get'>
  readonly #clock: Clock
  readonly #held = new BoundedMap<string, HeldKey>(KEYS_HELD_MAX)
  /** Until when an id counts as unknown. */
  readonly #unknown = new BoundedMap<string, number>(UNKNOWN_HELD_MAX)
  /** When a key was last read again because a secret did not fit. */
  readonly #readAgain = new BoundedMap<string, number>(UNKNOWN_HELD_MAX)
  readonly #reading = new Map<string, Promise<HeldKey | null>>()

  constructor ({ store, clock }: { store: Pick<Collection<ApiKey>, 'get'>, clock: Clock }) {
    this.#store = store
    this.#clock = clock
  }

  /** For a request, which keeps the key held; undefined when only the store can tell, or `isUnknown`. */
  use (id: string): HeldKey | undefined {
    return this.#held.use(id)
  }

  /** The same, without keeping it held any longer: for connections that stay open. */
  peek (id: string): HeldKey | undefined {
    return this.#held.get(id)
  }

  /** The store had no such key a moment ago. */
  isUnknown (id: string): boolean {
    return (this.#unknown.get(id) ?? 0) > this.#clock.monotonic()
  }

  apply (key: Stored<ApiKey>): HeldKey {
    const known = this.#held.get(key.id)
    if (known !== undefined && known.revision > key.revision) return known
    const next = heldOf(key)
    this.#held.set(key.id, next)
    return next
  }

  /**
   * One read at a time for each key: a thousand requests with a new key are one read.
   * @throws NEKO_ERR_STORE_UNAVAILABLE
   */
  read (id: string): Promise<HeldKey | null> {
    const running = this.#reading.get(id)
    if (running !== undefined) return running
    const reading = this.#readStore(id).finally(() => {
      if (this.#reading.get(id) === reading) this.#reading.delete(id)
    })
    this.#reading.set(id, reading)
    return reading
  }

  /** After a change elsewhere: a read that is under way may have begun before it. */
  readAnew (id: string): Promise<HeldKey | null> {
    this.#reading.delete(id)
    return this.read(id)
  }

  /** Whether a secret that does not fit may cost a read: once a second for each key, or when one is under way. */
  mayReadAgain (id: string): boolean {
    if (this.#reading.has(id)) return true
    const now = this.#clock.monotonic()
    if (now - (this.#readAgain.get(id) ?? -Infinity) < READ_AGAIN_MS) return false
    this.#readAgain.set(id, now)
    return true
  }

  async #readStore (id: string): Promise<HeldKey | null> {
    const key = await this.#store.get(id)
    if (key !== null) return this.apply(key)
    this.#unknown.set(id, this.#clock.monotonic() + UNKNOWN_MS)
    return null
  }
}

function heldOf (key: Stored<ApiKey>): HeldKey {
  const principal: Principal = {
    kind: 'key' as const,
    id: key.id,
    name: key.name,
    role: null,
    scopes: Object.freeze([...key.scopes]),
    tier: 'service' as const,
    sessionId: null,
    clientKey: `key:${key.id}`,
    expiresAt: key.expiresAt
  }
  const own = authorityOf(key)
  return {
    expiresAt: key.expiresAt,
    revoked: key.revokedAt !== null,
    secrets: key.secrets.map(({ hash, expiresAt, authority }) => ({
      hash,
      expiresAt,
      principal: Object.freeze({ ...principal }),
      authorities: authority === undefined ? [own] : [own, authority],
      last: null
    })),
    revision: key.revision
  }
}
