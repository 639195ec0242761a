import { hash, timingSafeEqual } from 'node:crypto'
import { newId, randomText } from '../std/id.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage, Stored } from '../storage/port.ts'
import { sessionCollection } from './collections.ts'
import type { Session } from './shapes.ts'

/**
 * Sessions: a login, and the family of refresh tokens that came from it.
 *
 * A refresh token is `nekr_<session>_<family>_<secret>`. Only hashes are stored. Each refresh makes a new secret by
 * compare-and-set, and the family part stays: a caller with the right family part and another secret holds an old
 * token, stolen or used twice, and the whole family ends (RFC 9700, section 4.14.2). A caller without the family part
 * (a session's id is in every access token) only made something up, and can end nobody's session.
 * There is no grace for two refreshes at once: the one that comes second looks like a thief, and may be one.
 */
export const REFRESH_SECONDS = 7 * 86_400
const FAMILY_CHARACTERS = 24
const SECRET_CHARACTERS = 40
const REFRESH_TOKEN = /^nekr_(se_[0-9a-z]{20})_([0-9a-z]{24})_([0-9a-z]{40})$/

type RefreshVerdict =
  | { state: 'held', session: Session, refreshToken: string }
  /** An old token: the family must end. */
  | { state: 'reused', session: Session }
  | { state: 'refused' }

export interface Sessions {
  /** @throws NEKO_ERR_STORE_UNAVAILABLE */
  open (userId: string, generation: number): Promise<{ session: Session, refreshToken: string }>
  /** The session of a token whose family lives, whatever its secret. @throws NEKO_ERR_STORE_UNAVAILABLE */
  ofFamily (token: string): Promise<string | null>
  /** Rotates. @throws NEKO_ERR_STORE_UNAVAILABLE */
  refresh (token: string): Promise<RefreshVerdict>
  /** Null for a session that is unknown or over. @throws NEKO_ERR_STORE_UNAVAILABLE */
  userOf (id: string): Promise<string | null>
  /** Removes a family; false when the store is down (its revocation stands for it then). */
  remove (id: string): Promise<boolean>
  /** Removes at most 1000 families of a user. */
  removeOf (userId: string): Promise<number>
}

export function createSessions ({ storage, clock }: { storage: Storage, clock: Clock }): Sessions {
  const store = storage.collection<Session>(sessionCollection)

  /** Its session, and the secret that it shows. */
  async function read (token: string): Promise<{ stored: Stored<Session>, secret: string } | null> {
    const match = REFRESH_TOKEN.exec(token)
    if (match === null) return null
    const [, id, family, secret] = match as unknown as [string, string, string, string]
    const stored = await store.get(id)
    const isLive = stored !== null && stored.expiresAt > clock.now() && equal(sha256(family), stored.familyHash)
    return isLive ? { stored, secret } : null
  }

  return {
    ofFamily: async (token) => (await read(token))?.stored.id ?? null,
    async open (userId, generation) {
      const now = clock.now()
      const id = newId('se', now)
      const family = randomText(FAMILY_CHARACTERS)
      const secret = randomText(SECRET_CHARACTERS)
      const session: Session = {
        id,
        userId,
        generation,
        familyHash: sha256(family),
        secretHash: sha256(secret),
        createdAt: now,
        refreshedAt: now,
        expiresAt: now + REFRESH_SECONDS * 1000
      }
      await store.insert(session)
      return { session, refreshToken: `nekr_${id}_${family}_${secret}` }
    },
    async refresh (token) {
      const shown = await read(token)
      if (shown === null) return { state: 'refused' }
      const { revision, ...session } = shown.stored
      if (!equal(sha256(shown.secret), session.secretHash)) return { state: 'reused', session }
      const next = randomText(SECRET_CHARACTERS)
      const rotated = await store.replace({ ...session, secretHash: sha256(next), refreshedAt: clock.now() }, revision)
      if (rotated === null) return { state: 'reused', session }
      return { state: 'held', session, refreshToken: `${token.slice(0, -SECRET_CHARACTERS)}${next}` }
    },
    async userOf (id) {
      const session = await store.get(id)
      return session === null || session.expiresAt <= clock.now() ? null : session.userId
    },
    async remove (id) {
      // Fail-open: the revocation that stands beside it refuses the family as well.
      return await store.delete(id).catch(() => false)
    },
    removeOf: (userId) => store.deleteWhere({ userId }, 1_000)
  }
}

/** Hex. Enough for secrets of 200 random bits; passwords go through argon2id. */
export function sha256 (text: string): string {
  return hash('sha256', text, 'hex')
}

/** In a time that tells nothing of where they differ. */
export function equal (a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}
