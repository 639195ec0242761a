import t from 'tap'
import { identityCollections } from '../../src/identity/shapes.ts'
import { createRevocations } from '../../src/identity/revocations.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { createFaultyStorage } from './faulty-storage.ts'
import { createMemoryAudit, createMemoryBus } from './room.ts'

t.test('each revocation that the store lacks is told again in its turn, however many wait', async (t) => {
  const storage = createFaultyStorage(await openTestStorage(t, identityCollections))
  storage.setLocked(true)
  const clock = createTestClock()
  const bus = createMemoryBus()
  const fleet = bus.join()
  const revocations = createRevocations({ storage, audit: createMemoryAudit(), fleet, clock, loggedChanges: async () => [], log: { warn () {} }, onRevoked () {} })
  t.teardown(() => revocations.close())
  await Promise.all(Array.from({ length: 1_200 }, (_, i) => revocations.revoke({ kind: 'session', id: `s${i}`, expiresAt: null, actor: 'user:anna', type: 'auth.logout' })))
  const told = new Set<string>()
  bus.join().subscribe('identity.revoked', (message) => { told.add((message as { id: string }).id) })
  for (let round = 0; round < 3; round++) clock.advance(5_000)
  t.equal(told.size, 1_200)
})
