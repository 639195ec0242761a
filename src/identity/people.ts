import type { Audit } from '../audit/shapes.ts'
import {
  NEKO_ERR_FORBIDDEN,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_LIMIT_EXCEEDED,
  NEKO_ERR_NOT_FOUND,
  NEKO_ERR_STORE_DUPLICATE,
  NEKO_ERR_UNAUTHENTICATED
} from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { retryable } from '../std/retryable.ts'
import type { Page, Stored } from '../storage/port.ts'
import type { Attempts } from './login-tries.ts'
import { requireUsablePassword } from './password-rules.ts'
import { requirePasswordBounds, type Passwords } from './passwords.ts'
import { mayGrant } from './access.ts'
import type { Sessions } from './sessions.ts'
import type { Principal, Role, User } from './shapes.ts'
import { newUser, requireUsername, type Users } from './users.ts'

/** The part of a user that may be shown. */
export type Person = Pick<User, 'id' | 'username' | 'role' | 'disabled' | 'createdAt' | 'updatedAt'>

/** Records a privileged change, then makes it. */
export type Recorded = <T>(
  event: { type: string, actor: string, target: string, details?: { [key: string]: string | null } },
  work: () => Promise<T>
) => Promise<T>

/** Administration of people. The caller's scope (`manage`) is checked before; the change itself is checked here. */
export interface People {
  /**
   * @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_STORE_DUPLICATE, NEKO_ERR_OVERLOADED, NEKO_ERR_FORBIDDEN when
   * the role holds more than the caller
   */
  createUser (by: Principal, given: { username: string, password: string, role: Role }): Promise<Person>
  /** @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID for the last active administrator */
  setUserRole (by: Principal, id: string, role: Role): Promise<Person>
  /**
   * Also ends all sessions of that user, and for good all keys that come from that user.
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID for the last active administrator
   */
  disableUser (by: Principal, id: string): Promise<Person>
  /** Brings back no session and no key. @throws NEKO_ERR_NOT_FOUND */
  enableUser (by: Principal, id: string): Promise<Person>
  /**
   * Ends all sessions of the caller, this one too.
   * @throws NEKO_ERR_UNAUTHENTICATED when the current password does not hold, also when it was replaced meanwhile
   */
  changePassword (by: Principal, given: { currentPassword: string, newPassword: string }): Promise<void>
  listUsers (first: number, after: string | null): Promise<Page<Person>>
  countUsers (): Promise<number>
}

interface PeopleOptions {
  users: Users
  sessions: Sessions
  passwords: Passwords
  clock: Clock
  audit: Audit
  recorded: Recorded
  countAttempt: Attempts['take']
  /** Revokes the keys of somebody who was disabled. Never rejects. */
  endKeysOf (userId: string, actor: string): Promise<void>
}

export function createPeople (
  { users, sessions, passwords, clock, audit, recorded, countAttempt, endKeysOf }: PeopleOptions
): People {
  /** Checked before it is recorded, so that the trail seldom holds what did not happen. */
  async function existing (id: string): Promise<Stored<User>> {
    const user = await users.byId(id)
    if (user === null) throw new NEKO_ERR_NOT_FOUND('There is no such user')
    return user
  }

  return {
    async createUser (by, { username, password, role }) {
      requireGrantable(by, role)
      requireUsername(username)
      await requireUsablePassword(password, username)
      if (await users.byName(username) !== null) throw new NEKO_ERR_STORE_DUPLICATE('that username')
      const user = newUser({ username, role, passwordHash: await passwords.hash(password), nowMs: clock.now() })
      return await recorded({
        type: 'user.create',
        actor: by.clientKey,
        target: `user:${user.id}`,
        details: { role }
      }, async () => {
        await users.insert(user)
        return shown(user)
      })
    },
    async setUserRole (by, id, role) {
      requireGrantable(by, role)
      const { role: from } = await existing(id)
      return await recorded({
        type: 'user.role',
        actor: by.clientKey,
        target: `user:${id}`,
        details: { from, role }
      }, async () => shown(await users.setRole(id, role)))
    },
    async disableUser (by, id) {
      await existing(id)
      return await recorded({ type: 'user.disable', actor: by.clientKey, target: `user:${id}` }, async () => {
        const user = await users.setDisabled(id, true)
        await Promise.all([forgetSessions(id), endKeysOf(id, by.clientKey)])
        return shown(user)
      })
    },
    async enableUser (by, id) {
      requireGrantable(by, (await existing(id)).role)
      return await recorded(
        { type: 'user.enable', actor: by.clientKey, target: `user:${id}` },
        async () => shown(await users.setDisabled(id, false))
      )
    },
    async changePassword (by, { currentPassword, newPassword }) {
      if (by.kind !== 'user') throw new NEKO_ERR_FORBIDDEN('a signed-in user')
      requirePasswordBounds(currentPassword)
      await requireUsablePassword(newPassword, by.name)
      if (newPassword === currentPassword) throw new NEKO_ERR_INPUT_INVALID('The new password must be another one')
      // Of this session: with a stolen token nobody takes the owner's tries, who signs in anew.
      const attempt = await countAttempt(`password|${by.clientKey} ${by.sessionId}`)
      if (!attempt.allowed) {
        const { retryAfterSeconds } = attempt
        throw retryable(new NEKO_ERR_LIMIT_EXCEEDED(String(retryAfterSeconds)), retryAfterSeconds)
      }
      const user = await existing(by.id)
      const { held } = await passwords.verify(currentPassword, user.passwordHash)
      if (!held) {
        audit.record({
          category: 'auth',
          type: 'user.password',
          actor: by.clientKey,
          target: `user:${by.id}`,
          outcome: 'refused'
        })
        throw new NEKO_ERR_UNAUTHENTICATED()
      }
      const passwordHash = await passwords.hash(newPassword)
      await recorded({ type: 'user.password', actor: by.clientKey, target: `user:${by.id}` }, async () => {
        await users.setPassword(by.id, passwordHash, { endsSessions: true, mustChange: false, verified: user })
        await forgetSessions(by.id)
      })
    },
    async listUsers (first, after) {
      const page = await users.list(first, after)
      return { ...page, items: page.items.map(shown) }
    },
    countUsers: () => users.count()
  }

  /** The generation has ended them already; this only clears them away, so it may fail. */
  async function forgetSessions (userId: string): Promise<void> {
    await sessions.removeOf(userId).catch(() => 0)
  }
}

/** @throws NEKO_ERR_FORBIDDEN: a key that may manage people must not make itself a person who may do more. */
function requireGrantable (by: Principal, role: Role): void {
  if (!mayGrant(by, role)) throw new NEKO_ERR_FORBIDDEN(`every scope of the role ${role}`)
}

export function shown ({ id, username, role, disabled, createdAt, updatedAt }: User): Person {
  return { id, username, role, disabled, createdAt, updatedAt }
}
