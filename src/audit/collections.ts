import { auditEvents } from '../journal/collections.ts'
import { pagesOf } from '../storage/pages.ts'
import type { CollectionDefinition, Storage, Where } from '../storage/port.ts'
import type { Checkpoint } from './checkpoints.ts'

/** `trailId` is the audit directory it was written from: hosts that share a database do not share logs. */
export type StoredCheckpoint = Checkpoint & { id: string, trailId: string | null }

/** The newest checkpoint of each process start, `open` from its first event on; its id is the process id. */
export const auditCheckpoints: CollectionDefinition = {
  name: 'auditCheckpoints',
  indexes: [{ name: 'auditCheckpoints_at', fields: [['at', -1]] }]
}

/** A trail and the data directory that it was begun in: `<host name>:<path>` (trail-registry.ts). */
export interface StoredTrail { id: string, place: string, at: number }

export const auditTrails: CollectionDefinition = {
  name: 'auditTrails',
  indexes: [{ name: 'auditTrails_place', fields: [['place', 1]] }]
}

/** The configuration of a place's last start: texts, and digests of what is secret (settings.ts). */
export interface StoredSettings {
  id: string
  at: number
  values: Record<string, string>
  keyId: string
  expiresAt: number
}

export const auditSettings: CollectionDefinition = { name: 'auditSettings', indexes: [], expiryField: 'expiresAt' }

export const auditCollections: CollectionDefinition[] = [auditEvents, auditCheckpoints, auditTrails, auditSettings]

/**
 * Process starts whose checkpoints are compared: the newest ones, which are those that can still be edited
 * unnoticed.
 */
const CHECKPOINTS_MAX = 10_000

/** Of one process start, or of all; one that covers events. @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function newestCheckpoint (storage: Storage, processId: string | null): Promise<StoredCheckpoint | null> {
  const collection = storage.collection<StoredCheckpoint>(auditCheckpoints)
  if (processId !== null) {
    const found = await collection.get(processId)
    return found?.kind === 'open' ? null : found
  }
  return (await collection.find({ where: COVERING, sort: [['at', -1]], first: 1 })).items[0] ?? null
}

const COVERING: Where = { kind: { in: ['checkpoint', 'close'] satisfies Array<Checkpoint['kind']> } }

/** @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function newestCheckpoints (storage: Storage): Promise<StoredCheckpoint[]> {
  const collection = storage.collection<StoredCheckpoint>(auditCheckpoints)
  const found: StoredCheckpoint[] = []
  for await (const page of pagesOf(collection, { sort: [['at', -1]], first: 1_000, most: CHECKPOINTS_MAX })) {
    found.push(...page)
  }
  return found
}
