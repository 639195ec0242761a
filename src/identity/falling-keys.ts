import { pagesOf } from '../storage/pages.ts'
import type { Keys } from './keys.ts'
import type { Revocations } from './revocations.ts'
import type { ApiKey } from './shapes.ts'

/**
 * Revokes the keys that fall with a person or with another key. Whoever calls has ended them already (authority.ts):
 * this records each in the trail and marks it for people who read the list, so it may fail, and the next start marks
 * what it left (prepare-keys.ts).
 */
export interface FallingKeys {
  /** Of a person who was disabled. Never rejects. */
  withPerson (makerId: string, actor: string): Promise<void>
  /** Those made with a key that was revoked. Never rejects. */
  withKey (key: ApiKey, actor: string): Promise<void>
}

const PAGE = 100
const FALLING_MAX = 10_000

export function createFallingKeys ({ keys, revocations, log }: {
  keys: Pick<Keys, 'listOf' | 'markRevoked'>,
  revocations: Pick<Revocations, 'has' | 'revoke'>,
  log: { warn (fields: object, message: string): void }
}): FallingKeys {
  async function fall (
    makerId: string | null,
    { actor, because, falls }: { actor: string, because: string, falls: (key: ApiKey) => boolean }
  ): Promise<void> {
    try {
      const collection = { find: keys.listOf(makerId) }
      for await (const page of pagesOf(collection, { first: PAGE, most: FALLING_MAX })) {
        await Promise.all(page.filter(falls).map((key) => end(key, { actor, because })))
      }
    } catch (error) {
      log.warn({ err: error, because }, 'keys that fell are not all marked as revoked yet')
    }
  }

  async function end (
    { id, revokedAt }: ApiKey,
    { actor, because }: { actor: string, because: string }
  ): Promise<void> {
    if (revokedAt !== null) return
    if (!revocations.has('key', id)) {
      await revocations.revoke({ kind: 'key', id, expiresAt: null, actor, type: 'key.revoke', details: { because } })
    }
    await keys.markRevoked(id)
  }

  return {
    withPerson: (makerId, actor) => fall(makerId, { actor, because: 'maker disabled', falls: () => true }),
    withKey: (parent, actor) =>
      fall(parent.makerId ?? null, {
        actor,
        because: `made with key:${parent.id}`,
        falls: ({ authority }) => authority?.keys.includes(parent.id) === true
      })
  }
}
