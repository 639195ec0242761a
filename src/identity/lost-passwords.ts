import { NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { randomText } from '../std/id.ts'
import type { Passwords } from './passwords.ts'
import type { Person, Recorded } from './people.ts'
import type { Sessions } from './sessions.ts'
import { USERNAME_CHARACTERS_MAX, type Users } from './users.ts'

/**
 * The way back for somebody who has lost a password: the operator of the machine gives a new one, by hand and without
 * knowing the old. It opens nothing but `changePassword`, so that what was printed on a terminal is over once its owner
 * has come in; until then the operator could come in too, which the trail shows.
 */
export interface LostPasswords {
  /**
   * Ends all sessions. API keys stay: nobody learns them from a password.
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_STORE_UNAVAILABLE
   */
  resetPassword (username: string, by: Operator): Promise<{ person: Person, password: string }>
  /** @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_STORE_UNAVAILABLE */
  personOf (username: string): Promise<Person>
}

/** Who works on the machine itself: nobody of the store. */
interface Operator { actor: string, origin: string }

/** 124 bits: it is typed once. */
const CHARACTERS = 24

export function createLostPasswords ({ users, sessions, passwords, recorded, shown }: {
  users: Users,
  sessions: Pick<Sessions, 'removeOf'>,
  passwords: Pick<Passwords, 'hash'>,
  recorded: Recorded,
  shown (user: NonNullable<Awaited<ReturnType<Users['byName']>>>): Person
}): LostPasswords {
  async function personOf (username: string): Promise<Person> {
    const user = username.length > USERNAME_CHARACTERS_MAX ? null : await users.byName(username)
    if (user === null) throw new NEKO_ERR_NOT_FOUND('There is no such user')
    return shown(user)
  }

  return {
    personOf,
    async resetPassword (username, { actor, origin }) {
      const person = await personOf(username)
      const password = randomText(CHARACTERS)
      const passwordHash = await passwords.hash(password)
      const event = { type: 'user.password.reset', actor, target: `user:${person.id}`, details: { origin } }
      await recorded(event, async () => {
        await users.setPassword(person.id, passwordHash, { endsSessions: true, mustChange: true })
        // The generation has ended them already: this only clears them away.
        await sessions.removeOf(person.id).catch(() => 0)
      })
      return { person, password }
    }
  }
}
