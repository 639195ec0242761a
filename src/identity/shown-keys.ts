import type { Clock } from '../std/clock.ts'
import type { Keys } from './keys.ts'
import type { Revocations } from './revocations.ts'
import type { ApiKey, Scope } from './shapes.ts'

/** The part of a key that may be shown. */
export interface ShownKey {
  id: string
  name: string
  scopes: Scope[]
  createdBy: string
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
  lastUsedAt: number | null
  overlapEndsAt: number | null
}

interface ShownKeys {
  /** A revocation counts before it is marked in the key. */
  shown (found: readonly ApiKey[]): Promise<ShownKey[]>
  one (key: ApiKey): Promise<ShownKey>
}

export function createShownKeys ({ keys, revocations, clock }: {
  keys: Pick<Keys, 'lastUsed'>,
  revocations: Pick<Revocations, 'has'>,
  clock: Clock
}): ShownKeys {
  async function shown (found: readonly ApiKey[]): Promise<ShownKey[]> {
    const lastUsed = found.length === 0 ? new Map<string, number>() : await keys.lastUsed(found.map((key) => key.id))
    return found.map((key) => ({
      id: key.id,
      name: key.name,
      scopes: key.scopes,
      createdBy: key.createdBy,
      createdAt: key.createdAt,
      expiresAt: key.expiresAt,
      revokedAt: key.revokedAt ?? (revocations.has('key', key.id) ? clock.now() : null),
      lastUsedAt: lastUsed.get(key.id) ?? null,
      overlapEndsAt: key.secrets[1]?.expiresAt ?? null
    }))
  }

  return { shown, one: async (key) => (await shown([key]))[0] as ShownKey }
}
