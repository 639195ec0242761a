import { NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
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
  /** The secret that a key's principal came in with. */
  secretOf (principal: Principal): ShownSecret | undefined
  /** Of what a caller makes: for a key, its own maker stands first. @throws NEKO_ERR_STORE_UNAVAILABLE */
  of (principal: Principal): Promise<Authority>
}

/** A secret that fits, with the caller it would give if nobody capped it. */
export interface ShownSecret {
  hash: string
  expiresAt: number | null
  principal: Principal
  authorities: readonly Authority[]
  /** What the last look came to: good as long as everybody behind it is the same, which almost every request finds. */
  last: { people: ReadonlyArray<UserState | undefined>, principal: Principal } | null
}

export function createAuthorities (
  { users, revocations }: { users: Pick<Users, 'peek' | 'load'>, revocations: Pick<Revocations, 'has'> }
): Authorities {
  const shownAs = new WeakMap<Principal, ShownSecret>()

  /** Null when anybody has changed since, or nobody has looked. Makes nothing: it stands in front of every request. */
  function unchanged ({ authorities, last }: ShownSecret): Principal | null {
    if (last === null) return null
    let i = 0
    for (const { people, keys } of authorities) {
      for (const id of keys) if (revocations.has('key', id)) return null
      for (const { userId } of people) if (users.peek(userId) !== last.people[i++]) return null
    }
    return last.principal
  }

  function capAnew (shown: ShownSecret): Principal | null | Promise<Principal | null> {
    const userIds = peopleOf(shown.authorities).map(({ userId }) => userId)
    const unheld = userIds.filter((id) => users.peek(id) === undefined)
    return unheld.length === 0
      ? capped(shown, userIds.map((id) => users.peek(id)))
      : load(unheld).then((loaded) => capped(shown, userIds.map((id) => loaded.get(id) ?? users.peek(id))))
  }

  async function load (userIds: readonly string[]): Promise<Map<string, UserState>> {
    const loaded = new Map<string, UserState>()
    for (const id of userIds) {
      const user = await users.load(id)
      if (user !== null) loaded.set(id, user)
    }
    return loaded
  }

  function capped (shown: ShownSecret, people: ReadonlyArray<UserState | undefined>): Principal | null {
    const { principal: full, authorities, last } = shown
    const scopes = scopesNow(full.scopes, authorities, people)
    if (scopes === null) return null
    const principal = last !== null && isSame(last.principal.scopes, scopes)
      ? last.principal
      : Object.freeze({ ...full, scopes })
    shown.last = { people, principal }
    shownAs.set(principal, shown)
    return principal
  }

  /** `people` as the authorities name them, one after the other; null when the authority has ended. */
  function scopesNow (
    own: readonly Scope[],
    authorities: readonly Authority[],
    people: ReadonlyArray<UserState | undefined>
  ): readonly Scope[] | null {
    if (authorities.some(({ keys }) => keys.some((id) => revocations.has('key', id)))) return null
    let scopes = own
    for (const [i, { keysGeneration }] of peopleOf(authorities).entries()) {
      const user = people[i]
      if (user === undefined) continue
      if (user.disabled || user.keysGeneration !== keysGeneration) return null
      scopes = scopes.filter((scope) => SCOPES_BY_ROLE[user.role].includes(scope))
    }
    return scopes
  }

  return {
    cap: (shown) => unchanged(shown) ?? capAnew(shown),
    holds (principal) {
      const shown = shownAs.get(principal)
      if (shown === undefined || unchanged(shown) === principal) return true
      const { principal: full, authorities } = shown
      const people = peopleOf(authorities).map(({ userId }) => users.peek(userId))
      const scopes = scopesNow(full.scopes, authorities, people)
      return scopes !== null && isSame(scopes, principal.scopes)
    },
    secretOf: (principal) => shownAs.get(principal),
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
  return {
    people: [...new Map(peopleOf(authorities).map((one) => [`${one.userId} ${one.keysGeneration}`, one])).values()],
    keys: [...new Set(authorities.flatMap(({ keys }) => keys))]
  }
}

/** In the order of the authorities; somebody may stand there twice. */
function peopleOf (authorities: readonly Authority[]): Authority['people'] {
  return authorities.flatMap(({ people }) => people)
}

function isSame (a: readonly Scope[], b: readonly Scope[]): boolean {
  return a === b || (a.length === b.length && a.every((scope, i) => scope === b[i]))
}
