import type { CollectionDefinition, Storage } from '../storage/port.ts'

/** Identity is read from the primary, whatever the URI's readPreference says: a stale copy would undo a revocation. */
type PrimaryCollection = CollectionDefinition & { primaryReads: true }

export const userCollection: PrimaryCollection = {
  name: 'users',
  primaryReads: true,
  indexes: [
    { name: 'usernameKey', fields: [['usernameKey', 1]], unique: true },
    { name: 'role', fields: [['role', 1], ['disabled', 1]] },
    { name: 'updatedAt', fields: [['updatedAt', 1]] }
  ]
}

export const sessionCollection: PrimaryCollection = {
  name: 'sessions',
  primaryReads: true,
  indexes: [{ name: 'userId', fields: [['userId', 1]] }],
  expiryField: 'expiresAt'
}

export const keyCollection: PrimaryCollection = {
  name: 'api_keys',
  primaryReads: true,
  indexes: [
    { name: 'updatedAt', fields: [['updatedAt', 1]] },
    { name: 'makerId', fields: [['makerId', 1], ['createdAt', -1]] }
  ]
}

export const keyUseCollection: PrimaryCollection = { name: 'api_key_uses', primaryReads: true, indexes: [] }

export const revocationCollection: PrimaryCollection = {
  name: 'revocations',
  primaryReads: true,
  indexes: [{ name: 'at', fields: [['at', 1]] }],
  expiryField: 'expiresAt'
}

export const knownAddressCollection: PrimaryCollection = {
  name: 'familiar_addresses',
  primaryReads: true,
  indexes: [],
  expiryField: 'expiresAt'
}

export const usedAddressCollection: PrimaryCollection = {
  name: 'used_addresses',
  primaryReads: true,
  indexes: [],
  expiryField: 'expiresAt'
}

export const lockCollection: PrimaryCollection = { name: 'identity_locks', primaryReads: true, indexes: [] }

export const identityCollections: CollectionDefinition[] = [
  userCollection,
  sessionCollection,
  keyCollection,
  keyUseCollection,
  revocationCollection,
  knownAddressCollection,
  usedAddressCollection,
  lockCollection
]

/** When the oldest user was made, ms; null where there are none. @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function usersSince (storage: Storage): Promise<number | null> {
  const users = storage.collection<{ id: string, createdAt: number }>(userCollection)
  const { items } = await users.find({ sort: [['createdAt', 1]], first: 1 })
  return items[0]?.createdAt ?? null
}
