import type { Clock } from '../std/clock.ts'
import type { Authorities } from './authority.ts'
import type { Keys } from './keys.ts'
import type { Revocations } from './revocations.ts'
import type { Sessions } from './sessions.ts'
import { SCOPES_BY_ROLE, type Scope } from './shapes.ts'
import type { Users } from './users.ts'

/** What the holder of a credential may do now, whoever asks. */
export interface HeldScopes {
  /**
   * Of a key, by any of its secrets; of a user or a session, by the role, also before a first password is changed.
   * None for what is unknown or ended. Asks the store only about what this process does not hold.
   * @throws NEKO_ERR_STORE_UNAVAILABLE
   */
  scopesOf (kind: 'KEY' | 'USER' | 'SESSION', id: string): Promise<readonly Scope[]>
}

interface HeldScopesOptions {
  users: Pick<Users, 'peek' | 'load'>
  keys: Pick<Keys, 'find'>
  sessions: Pick<Sessions, 'userOf'>
  authorities: Pick<Authorities, 'cap'>
  revocations: Pick<Revocations, 'has'>
  clock: Clock
}

export function createHeldScopes (
  { users, keys, sessions, authorities, revocations, clock }: HeldScopesOptions
): HeldScopes {
  async function ofUser (id: string): Promise<readonly Scope[]> {
    const user = users.peek(id) ?? await users.load(id)
    return user === null || user.disabled ? [] : SCOPES_BY_ROLE[user.role]
  }

  async function ofKey (id: string): Promise<readonly Scope[]> {
    const key = revocations.has('key', id) ? null : await keys.find(id)
    const isOver = (expiresAt: number | null): boolean => expiresAt !== null && expiresAt <= clock.now()
    if (key === null || key.revoked || isOver(key.expiresAt)) return []
    const good = key.secrets.filter(({ expiresAt }) => !isOver(expiresAt))
    const capped = await Promise.all(good.map((secret) => authorities.cap(secret)))
    return [...new Set(capped.flatMap((principal) => principal?.scopes ?? []))]
  }

  return {
    async scopesOf (kind, id) {
      if (kind === 'KEY') return await ofKey(id)
      if (kind === 'USER') return await ofUser(id)
      const userId = revocations.has('session', id) ? null : await sessions.userOf(id)
      return userId === null ? [] : await ofUser(userId)
    }
  }
}
