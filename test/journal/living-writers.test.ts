// Recovery brings in what the dead left while others serve. A living process changes the same document at every moment
// there is, before and behind each call that recovery makes of the store: its word is the later one.
import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import { RecoveryProgress } from '../../src/journal/apply-effects.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { Clock } from '../../src/std/clock.ts'
import type { Collection, CollectionDefinition, Document, Stored } from '../../src/storage/port.ts'
import { silentLog } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'
import { watched } from './watched-store.ts'

type Thing = Document & { text: string, madeAt: number, endsAt: number }
type Effect = NonNullable<AuditInput['effects']>[number]

const secret = 'a secret of the tests that is long enough'
const config = { dataDir: 'mem', auditSigningKey: secret }
const common = { directory: 'mem/audit', signer: createSigner(secret), log: silentLog }
const plain: CollectionDefinition = { name: 'things', indexes: [] }
const versioned: CollectionDefinition = { ...plain, versionFields: { madeAt: 'madeAt', endsAt: 'endsAt' } }
const ENDS_MS = 1_000_000

function event (effect: Effect): AuditInput {
  return { category: 'data', type: `thing.${effect.op}`, actor: 'user:1', outcome: 'ok', effects: [effect] }
}

interface Place { definition: CollectionDefinition, clock: Clock, things: Collection<Thing>, durable: (input: AuditInput) => Promise<unknown> }

const isVersioned = ({ versionFields }: CollectionDefinition): boolean => versionFields !== undefined

function putEffect ({ definition }: Pick<Place, 'definition'>, doc: Thing): Effect {
  const version = isVersioned(definition) ? { version: { madeAt: doc.madeAt, endsAt: doc.endsAt } } : {}
  return { collection: 'things', op: 'put', id: doc.id, doc: { ...doc }, ...version }
}

function thing (id: string, text: string, atMs: number): Thing {
  return { id, text, madeAt: atMs, endsAt: atMs + ENDS_MS }
}

async function remove ({ definition, clock, things, durable }: Place, id: string): Promise<void> {
  const version = isVersioned(definition) ? { version: { madeAt: clock.now() } } : {}
  await durable(event({ collection: 'things', op: 'delete', id, ...version }))
  await things.deleteWhere({ id, revision: (await things.get(id))?.revision ?? 0 }, 1)
}

async function put (place: Place, id: string, text: string): Promise<void> {
  const doc = thing(id, text, place.clock.now())
  await place.durable(event(putEffect(place, doc)))
  await place.things.put(doc)
}

/** What the living do to one document, as one that removes it, and what is left. */
const acts: Record<string, { left: string | null, act (place: Place, id: string, tick: () => void): Promise<void> }> = {
  'removes it': { left: null, act: remove },
  'puts its own': { left: 'living', act: async (place, id) => await put(place, id, 'living') },
  'removes it and puts its own': {
    left: 'living',
    async act (place, id, tick) {
      await remove(place, id)
      tick()
      await put(place, id, 'living')
    }
  },
  'puts its own and removes it': {
    left: null,
    async act (place, id, tick) {
      await put(place, id, 'living')
      tick()
      await remove(place, id)
    }
  }
}

/** What the store has of a document whose writer died. */
const before = ['nothing', 'an older one', 'all of it'] as const

const ways = [plain, versioned].flatMap((definition) => [false, true].map((goesAway) => ({ definition, goesAway })))

for (const { definition, goesAway } of ways) {
  for (const [does, { left, act }] of Object.entries(acts)) {
    const title = [isVersioned(definition) ? 'with versions' : 'without', ...goesAway ? ['the store goes away with it'] : []]
    t.test(`a living process ${does}, at any moment, ${title.join(', ')}`, async (t) => {
      let moments = 0
      for (const found of before) {
        for (let moment = 0, isWithin = true; isWithin; moment++) {
          const clock = createTestClock()
          const disk = memoryDisk()
          const { storage, documents } = memoryStore()
          const things = storage.collection<Thing>(definition)
          const dead = createAudit({ config, storage: null, clock, log: silentLog, processId: 'dead', files: disk.files })
          const living = createAudit({ config, storage, clock, log: silentLog, processId: 'living', files: disk.files })
          if (found === 'an older one') await things.put(thing('a', 'older', clock.now()))
          clock.advance(10)
          const lost = thing('a', 'acknowledged', clock.now())
          await dead.durable(event(putEffect({ definition }, lost)))
          if (found === 'all of it') await things.put(lost)
          const other = thing('other', 'acknowledged', clock.now())
          await dead.durable(event(putEffect({ definition }, other)))
          clock.advance(10)

          let calls = 0
          const progress = new RecoveryProgress()
          const onCall = async (): Promise<void> => {
            const call = calls++
            if (call === moment) await act({ definition, clock, things, durable: (input) => living.durable(input) }, 'a', () => { clock.advance(1) })
            if (!goesAway || call !== moment + 1) return
            // Flushed before recovery comes again: its log is no longer read for what the index has.
            await living.flush()
            throw new NEKO_ERR_STORE_UNAVAILABLE()
          }
          const options = { ...common, clock, files: disk.files, collections: [definition], isLive: (id: string) => id === 'living' }
          const recover = (): Promise<unknown> => recoverAudit({ ...options, progress, storage: watched(storage, onCall) })
          await recover().catch(async (error: Error) => { t.match(error, { code: 'NEKO_ERR_STORE_UNAVAILABLE' }); await recover() })
          isWithin = calls > moment
          const expected = isWithin ? left : 'acknowledged'
          const has = documents('things').get('a') as Stored<Thing> | undefined
          t.equal(has?.text ?? null, expected, `the store had ${found}, moment ${moment} of ${calls}`)
          t.equal((documents('things').get('other') as Stored<Thing>).text, 'acknowledged')
          await recoverAudit({ ...options, storage })
          t.equal((documents('things').get('a') as Stored<Thing> | undefined)?.text ?? null, expected, 'and again')
          if (isWithin) moments++
        }
      }
      t.ok(moments > 12, `${moments} moments`)
    })
  }
}
