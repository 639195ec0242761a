import type { Fleet } from '../fleet/port.ts'
import {
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_NOT_FOUND,
  NEKO_ERR_OVERLOADED,
  NEKO_ERR_UNAUTHENTICATED
} from '../errors.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { compareAndSet } from '../std/compare-and-set.ts'
import { newId } from '../std/id.ts'
import { retryable } from '../std/retryable.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Page, Storage, Stored, Where } from '../storage/port.ts'
import { withAdminLock } from './admin-lock.ts'
import { userCollection } from './collections.ts'
import { requireAnotherAdministrator } from './last-administrator.ts'
import type { Role, User, UserState } from './shapes.ts'

/**
 * People. The store has the truth; every process holds in memory the part that requests are checked by (UserState), and
 * is told of changes by its siblings at once and by the store within a poll. Of two states the higher revision wins, so
 * that a late message or a slow read never brings an old role back.
 */
const USERS_HELD_MAX = 20_000
const PRELOAD = 10_000
const PAGE = 1_000
const CONFLICT_TRIES = 5
export const USERNAME_CHARACTERS_MAX = 64
const USERNAME = /^[A-Za-z0-9._@-]{1,64}$/

export interface Users {
  /** From memory; undefined when this process does not hold it: `load` asks the store. */
  state (id: string): UserState | undefined
  /** The same, without keeping it held any longer: for every request of a key that comes from this user. */
  peek (id: string): UserState | undefined
  /** @throws NEKO_ERR_STORE_UNAVAILABLE */
  load (id: string): Promise<UserState | null>
  /** Takes over what changed since a time, or the first 10,000. */
  poll (sinceMs?: number): Promise<void>
  byName (username: string): Promise<Stored<User> | null>
  byId (id: string): Promise<Stored<User> | null>
  list (first: number, after: string | null): Promise<Page<Stored<User>>>
  count (): Promise<number>
  /** @throws NEKO_ERR_STORE_DUPLICATE */
  insert (user: User): Promise<void>
  setRole (id: string, role: Role): Promise<User>
  setDisabled (id: string, disabled: boolean): Promise<User>
  /**
   * `mustChange` as it was when it is absent. `verified`: the user whose password was shown; when it is another one by
   * now, or the user was disabled, what was shown does not hold. Absent: the new one wins over any.
   * @throws NEKO_ERR_UNAUTHENTICATED then
   */
  setPassword (
    id: string,
    passwordHash: string,
    options: { endsSessions: boolean, mustChange?: boolean, verified?: Pick<User, 'passwordHash' | 'generation'> }
  ): Promise<User>
  close (): void
}

interface UsersOptions { storage: Storage, fleet: Fleet, clock: Clock, onChanged (id: string): void }

export function createUsers ({ storage, fleet, clock, onChanged }: UsersOptions): Users {
  const store = storage.collection<User>(userCollection)
  const held = new BoundedMap<string, UserState>(USERS_HELD_MAX)

  function apply (state: UserState): UserState {
    const known = held.get(state.id)
    if (known !== undefined && known.revision >= state.revision) return known
    held.set(state.id, state)
    if (known !== undefined) onChanged(state.id)
    return state
  }

  const unsubscribe = fleet.subscribe('identity.user', (message) => {
    const state = message as unknown as UserState
    if (typeof state?.id !== 'string' || typeof state.revision !== 'number') return
    // Also when this process did not hold it: a read of the old state may be under way.
    apply(state)
    onChanged(state.id)
  })

  function tell (user: Stored<User>): User {
    const state = stateOf(user)
    apply(state)
    fleet.publish('identity.user', { ...state })
    return user
  }

  /** `next` sees the user as stored now, and throws when the change must not be. */
  function change (id: string, next: (user: User) => User | Promise<User>): Promise<User> {
    return compareAndSet(CONFLICT_TRIES, async () => {
      const current = await store.get(id)
      if (current === null) throw new NEKO_ERR_NOT_FOUND('There is no such user')
      const { revision, ...user } = current
      const wanted = await next(user as User)
      const stored = await store.replace({ ...wanted, updatedAt: clock.now() }, revision)
      return stored === null ? null : tell(stored)
    }, () => retryable(new NEKO_ERR_OVERLOADED('1'), 1))
  }

  /** A change that may take an administrator away. */
  function guarded (id: string, next: (user: User) => User): Promise<User> {
    return withAdminLock({ storage, clock }, () => change(id, async (user) => {
      const wanted = next(user)
      await requireAnotherAdministrator(store, { user, wanted })
      return wanted
    }))
  }

  return {
    state: (id) => held.use(id),
    peek: (id) => held.get(id),
    async load (id) {
      const user = await store.get(id)
      return user === null ? null : apply(stateOf(user))
    },
    async poll (sinceMs) {
      const where: Where = sinceMs === undefined ? {} : { updatedAt: { gte: sinceMs } }
      const pages = pagesOf(store, { where, sort: [['updatedAt', 1]], first: PAGE, most: PRELOAD })
      for await (const page of pages) for (const user of page) apply(stateOf(user))
    },
    byName: (username) => store.findOne({ usernameKey: username.toLowerCase() }),
    byId: (id) => store.get(id),
    list: (first, after) => store.find({ first, after }),
    count: () => store.count(),
    async insert (user) { tell(await store.insert(user)) },
    setRole: (id, role) => guarded(id, (user) => ({ ...user, role })),
    setDisabled: (id, disabled) =>
      guarded(id, (user) => ({
        ...user,
        disabled,
        generation: user.generation + (disabled ? 1 : 0),
        // Also when enabled: a key that slipped in meanwhile is of the time before.
        keysGeneration: (user.keysGeneration ?? 0) + (user.disabled === disabled ? 0 : 1)
      })),
    setPassword: (id, passwordHash, { endsSessions, mustChange, verified }) =>
      change(id, (user) => {
        if (verified !== undefined && !isSamePassword(user, verified)) throw new NEKO_ERR_UNAUTHENTICATED()
        return {
          ...user,
          passwordHash,
          mustChangePassword: mustChange ?? user.mustChangePassword ?? false,
          generation: user.generation + (endsSessions ? 1 : 0)
        }
      }),
    close: unsubscribe
  }
}

function isSamePassword (user: User, verified: Pick<User, 'passwordHash' | 'generation'>): boolean {
  return user.passwordHash === verified.passwordHash && user.generation === verified.generation
}

/** A new person, not stored yet. @throws NEKO_ERR_INPUT_INVALID */
export function newUser (
  { username, role, passwordHash, nowMs }: {
    username: string,
    role: Role,
    passwordHash: string,
    nowMs: number
  }
): User {
  requireUsername(username)
  return {
    id: newId('us', nowMs),
    username,
    usernameKey: username.toLowerCase(),
    role,
    disabled: false,
    generation: 1,
    passwordHash,
    createdAt: nowMs,
    updatedAt: nowMs
  }
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function requireUsername (username: string): void {
  if (!USERNAME.test(username)) throw new NEKO_ERR_INPUT_INVALID('A username has 1 to 64 of A-Z a-z 0-9 . _ @ -')
}

function stateOf (user: Stored<User>): UserState {
  const { id, username, role, disabled, generation, keysGeneration = 0, mustChangePassword = false, revision } = user
  return { id, username, role, disabled, generation, keysGeneration, mustChangePassword, revision }
}
