import { NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Revocations } from './revocations.ts'
import { SCOPES_BY_ROLE, type ApiKey, type Authority, type Principal, type Scope, type UserState } from './shapes.ts'
import type { Users } from './users.ts'

/**
 * What a key may do now: its own scopes, as far as everybody on whose authority it was made still holds them.
 *
 * A key, and each secret of it, keeps an Authority: the people it comes from (its maker, or who was shown the secret by
 * a rotation) and the keys it was made with. A role that is lowered caps it at the next request. A disabling ends it
 * for good, because the person's `keysGeneration` rises then, also where the key was still being made; a revoked key
 * takes along what was made with it. All of this is read from memory, so that it holds in every process as soon as the
 * person's change does. Somebody whom the store does not have caps nothing: such a key keeps its scopes.
 */
export interface Authorities {
  /**
   * The caller as which a key passes, null when its authority has ended. Asks the store only about a person whom this
   * process does not hold. @throws NEKO_ERR_STORE_UNAVAILABLE then
   */
  cap (shown: ShownSecret): Principal | null | Promise<Principal | null>
  /** Whether a key's principal would be the same now. */
  holds (principal: Principal): boolean
  /** Of what a caller makes: for a key, its own maker stands first. @throws NEKO_ERR_STORE_UNAVAILABLE */
  of (principal: Principal): Promise<Authority>
}

/** A secret that fits, with the caller it would give if nobody capped it. */
export interface ShownSecret { principal: Principal, authorities: readonly Authority[] }

/** People whom the store did not have: a key of theirs must not cost a read at each request. */
const ABSENT_MAX = 1_000
const ABSENT_MS = 5_000

export function createAuthorities (
  { users, revocations, clock }: {
    users: Pick<Users, 'state' | 'load'>,
    revocations: Pick<Revocations, 'has'>,
    clock: Clock
  }
): Authorities {
  /** From the uncapped caller to the one it was last, so that a request makes no new one. */
  const last = new WeakMap<Principal, Principal>()
  const shownAs = new WeakMap<Principal, ShownSecret>()
  const absent = new BoundedMap<string, number>(ABSENT_MAX)

  /** Null when everybody is held, as for almost every request. */
  function unheldOf (authorities: readonly Authority[]): string[] | null {
    let unheld: string[] | null = null
    for (const { people } of authorities) {
      for (const { userId } of people) {
        if (users.state(userId) === undefined && (absent.get(userId) ?? -Infinity) <= clock.monotonic()) {
          (unheld ??= []).push(userId)
        }
      }
    }
    return unheld
  }

  async function load (userIds: readonly string[]): Promise<Map<string, UserState>> {
    const loaded = new Map<string, UserState>()
    for (const id of userIds) {
      const user = await users.load(id)
      if (user === null) absent.set(id, clock.monotonic() + ABSENT_MS)
      else loaded.set(id, user)
    }
    return loaded
  }

  function capped (shown: ShownSecret, stateOf: (id: string) => UserState | undefined): Principal | null {
    const { principal: full, authorities } = shown
    const scopes = scopesNow(full.scopes, authorities, stateOf)
    if (scopes === null) return null
    const before = last.get(full)
    if (before !== undefined && isSame(before.scopes, scopes)) return before
    const principal = scopes === full.scopes ? full : Object.freeze({ ...full, scopes })
    last.set(full, principal)
    shownAs.set(principal, shown)
    return principal
  }

  /** The very array of `own` when nothing is taken from it; null when the authority has ended. */
  function scopesNow (
    own: readonly Scope[],
    authorities: readonly Authority[],
    stateOf: (id: string) => UserState | undefined
  ): readonly Scope[] | null {
    let scopes = own
    for (const { people, keys } of authorities) {
      for (const id of keys) if (revocations.has('key', id)) return null
      for (const { userId, keysGeneration } of people) {
        const user = stateOf(userId)
        if (user === undefined) continue
        if (user.disabled || user.keysGeneration !== keysGeneration) return null
        const held = SCOPES_BY_ROLE[user.role]
        if (!scopes.every((scope) => held.includes(scope))) scopes = scopes.filter((scope) => held.includes(scope))
      }
    }
    return scopes
  }

  return {
    cap (shown) {
      const unheld = unheldOf(shown.authorities)
      if (unheld === null) return capped(shown, users.state)
      return load(unheld).then((loaded) => capped(shown, (id) => loaded.get(id) ?? users.state(id)))
    },
    holds (principal) {
      const shown = shownAs.get(principal)
      if (shown === undefined) return true
      const scopes = scopesNow(shown.principal.scopes, shown.authorities, users.state)
      return scopes !== null && isSame(scopes, principal.scopes)
    },
    async of (principal) {
      if (principal.kind === 'key') {
        const shown = shownAs.get(principal)
        // A copy of a principal: nobody knows what caps it.
        if (shown === undefined) throw new NEKO_ERR_UNAUTHENTICATED()
        return joined([...shown.authorities, { people: [], keys: [principal.id] }])
      }
      const user = entryOf(principal) ?? await users.load(principal.id)
      return { people: [{ userId: principal.id, keysGeneration: user?.keysGeneration ?? 0 }], keys: [] }
    }
  }
}

/**
 * The user as which a principal was let in: a request that was let in before a disabling makes keys of that time. Not
 * part of a Principal's shape, since nobody else may rely on it.
 */
const entries = new WeakMap<Principal, UserState>()

export function rememberEntry (principal: Principal, user: UserState): void {
  entries.set(principal, user)
}

export function entryOf (principal: Principal): UserState | undefined {
  return entries.get(principal)
}

/** Of a key that was stored before keys kept their authority, and was not upgraded yet (prepare-keys.ts). */
export function authorityOf ({ authority, createdBy }: Pick<ApiKey, 'authority' | 'createdBy'>): Authority {
  if (authority !== undefined) return authority
  const [kind, id = ''] = createdBy.split(':')
  return {
    people: kind === 'user' ? [{ userId: id, keysGeneration: 0 }] : [],
    keys: kind === 'key' ? [id] : []
  }
}

/** Each person and key once. */
export function joined (authorities: readonly Authority[]): Authority {
  const people = authorities.flatMap((authority) => authority.people)
  return {
    people: [...new Map(people.map((one) => [`${one.userId} ${one.keysGeneration}`, one])).values()],
    keys: [...new Set(authorities.flatMap(({ keys }) => keys))]
  }
}

function isSame (a: readonly Scope[], b: readonly Scope[]): boolean {
  return a === b || (a.length === b.length && a.every((scope, i) => scope === b[i]))
}
