// What else may happen to the living while recovery brings in what the dead left: they begin, die, take back what they
// did, and their disk fails. One sequence each; test/journal/living-writers goes through the moments.
import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import { RecoveryProgress } from '../../src/journal/apply-effects.ts'
import { EffectSet } from '../../src/journal/effect-set.ts'
import type { FileLayer } from '../../src/journal/files.ts'
import { LivingLogs } from '../../src/journal/living-logs.ts'
import type { WrittenEvent } from '../../src/journal/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { CollectionDefinition, Document } from '../../src/storage/port.ts'
import { failure, silentLog } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'
import { watched } from './watched-store.ts'
import { turns } from '../time.ts'

type Thing = Document & { text: string, madeAt: number, endsAt: number }
type Effect = NonNullable<AuditInput['effects']>[number]

const secret = 'a secret of the tests that is long enough'
const config = { dataDir: 'mem', auditSigningKey: secret }
const others: CollectionDefinition = { name: 'others', indexes: [] }
const plain: CollectionDefinition = { name: 'things', indexes: [] }
const versioned: CollectionDefinition = { ...plain, versionFields: { madeAt: 'madeAt', endsAt: 'endsAt' } }
const isLiving = (id: string): boolean => id === 'living'

function makePlace (definition: CollectionDefinition) {
  const clock = createTestClock()
  const disk = memoryDisk()
  const { storage, documents } = memoryStore()
  const things = storage.collection<Thing>(definition)
  const isVersioned = definition.versionFields !== undefined
  const thing = (id: string, text: string): Thing => ({ id, text, madeAt: clock.now(), endsAt: clock.now() + 1_000_000 })
  const event = (...effects: Effect[]): AuditInput => ({ category: 'data', type: 'thing.change', actor: 'user:1', outcome: 'ok', effects })
  return {
    clock,
    disk,
    storage,
    things,
    thing,
    event,
    writer: (processId: string, files: FileLayer = disk.files) => createAudit({ config, storage, clock, log: silentLog, processId, files }),
    put: (doc: Thing): Effect => ({ collection: 'things', op: 'put', id: doc.id, doc: { ...doc }, ...isVersioned ? { version: { madeAt: doc.madeAt, endsAt: doc.endsAt } } : {} }),
    take: (id: string): Effect => ({ collection: 'things', op: 'delete', id, ...isVersioned ? { version: { madeAt: clock.now() } } : {} }),
    textOf: (id: string): string | null => (documents('things').get(id) as Thing | undefined)?.text ?? null,
    options: { directory: 'mem/audit', signer: createSigner(secret), log: silentLog, clock, files: disk.files, collections: [definition, others], storage }
  }
}

for (const definition of [plain, versioned]) {
  const kind = definition === versioned ? 'with versions' : 'without'

  t.test(`a process that began while recovery was under way has its say, ${kind}`, async (t) => {
    const { clock, storage, things, writer, put, take, thing, event, textOf, options } = makePlace(definition)
    await writer('dead').durable(event(put(thing('a', 'dead'))))
    clock.advance(10)
    const late = writer('late')
    let hasBegun = false
    const store = watched(storage, async ({ name, method, when }) => {
      if (hasBegun || name !== 'things' || method !== 'insertMany' || when !== 'before') return
      hasBegun = true
      await late.durable(event(take('a')))
      await things.delete('a')
    })
    await recoverAudit({ ...options, storage: store, isLive: () => false })
    t.ok(hasBegun)
    t.equal(textOf('a'), null, 'its removal holds')
  })

  t.test(`a living change that recovery looked at is brought in when its writer dies, ${kind}`, async (t) => {
    const { clock, storage, writer, put, thing, event, textOf, options } = makePlace(definition)
    const dead = writer('dead')
    for (const id of ['z', 'a']) await dead.durable(event(put(thing(id, 'first'))))
    clock.advance(10)
    await writer('living').durable(event(put(thing('a', 'second'))))
    await dead.durable(event({ collection: 'others', op: 'put', id: 'o', doc: { id: 'o' } }))
    const progress = new RecoveryProgress()
    const store = watched(storage, async ({ name }) => { if (name === 'others') throw new NEKO_ERR_STORE_UNAVAILABLE() })
    await t.rejects(recoverAudit({ ...options, storage: store, progress, isLive: isLiving }))
    await recoverAudit({ ...options, progress, isLive: () => false })
    t.equal(textOf('a'), 'second')
  })

  t.test(`a living change that is taken back behind the look leaves what the dead had acknowledged, ${kind}`, async (t) => {
    const { clock, storage, writer, put, take, thing, event, textOf, options } = makePlace(definition)
    await writer('dead').durable(event(put(thing('a', 'dead')), put(thing('z', 'dead'))))
    clock.advance(10)
    const living = writer('living')
    let removal: string | null = null
    let isTakenBack = false
    const store = watched(storage, async ({ name, method, when }) => {
      if (name !== 'things') return
      if (method === 'getMany' && when === 'before') removal ??= (await living.durable(event(take('a')))).id
      if (method !== 'insertMany' || when !== 'behind' || isTakenBack) return
      isTakenBack = true
      await living.durable({ ...event(), outcome: 'failed', details: { takesBack: removal! } })
    })
    await recoverAudit({ ...options, storage: store, isLive: isLiving })
    t.same(['a', 'z'].map(textOf), ['dead', 'dead'])
    await living.close()
  })

  t.test(`recovery that is killed between its put and its second look is made good by the next one, ${kind}`, async (t) => {
    const { clock, storage, things, writer, put, take, thing, event, textOf, options } = makePlace(definition)
    await writer('dead').durable(event(put(thing('a', 'dead'))))
    clock.advance(10)
    const living = writer('living')
    let isKilled = false
    const store = watched(storage, async ({ name, method, when }) => {
      if (isKilled) throw new NEKO_ERR_STORE_UNAVAILABLE()
      if (name !== 'things' || method !== 'insertMany') return
      if (when === 'behind') {
        isKilled = true
        return
      }
      await living.durable(event(take('a')))
      await things.delete('a')
    })
    await t.rejects(recoverAudit({ ...options, storage: store, isLive: isLiving }))
    t.equal(textOf('a'), 'dead', 'put behind the removal')
    await living.flush()
    await recoverAudit({ ...options, isLive: isLiving })
    t.equal(textOf('a'), null, 'the removal holds')
    await living.close()
  })
}

t.test('what the second look writes is looked at as well', async (t) => {
  const { clock, storage, things, writer, put, take, thing, event, textOf, options } = makePlace(versioned)
  await writer('dead').durable(event(put(thing('a', 'dead'))))
  clock.advance(10)
  const living = writer('living')
  const again = async (text: string): Promise<Thing> => {
    await living.durable(event(take('a')))
    clock.advance(1)
    const doc = thing('a', text)
    await living.durable(event(put(doc)))
    return doc
  }
  let writes = 0
  let second: Thing
  const store = watched(storage, async ({ name, method, when }) => {
    if (name !== 'things' || when !== 'before' || !['insertMany', 'replace', 'deleteWhere'].includes(method)) return
    writes++
    if (writes === 1) second = await again('second')
    if (writes !== 2) return
    await things.put(second)
    clock.advance(1)
    const third = await again('third')
    // Revisions begin anew.
    await things.delete('a')
    await things.put(third)
  })
  await recoverAudit({ ...options, storage: store, isLive: isLiving })
  t.ok(writes > 2)
  t.equal(textOf('a'), 'third')
  await living.close()
})

t.test('a log whose disk took lines back is read from its beginning', async (t) => {
  const { clock, disk, writer, put, thing, event } = makePlace(plain)
  const reading = (): { effects: EffectSet, living: LivingLogs } => {
    const effects = new EffectSet()
    const dead = { id: 'ev_dead_0', processId: 'dead', seq: 0, at: -1, ...event(put(thing('a', 'dead')), put(thing('more', 'dead'))) } as WrittenEvent
    effects.add(dead, true)
    return { effects, living: new LivingLogs({ directory: 'mem/audit', files: disk.files, ended: new Set(['dead']), effects }) }
  }
  const { living } = reading()
  let isFull = false
  const writing = writer('living', onSync(disk.files, async () => {
    if (!isFull) return
    await living.read()
    isFull = false
    throw failure('ENOSPC')
  }))
  await writing.durable(event(put(thing('other', 'one'))))
  isFull = true
  await t.rejects(writing.durable(event(put(thing('a', 'refused')), put(thing('x', 'refused')))), { code: 'NEKO_ERR_AUDIT_UNAVAILABLE' })
  clock.advance(500)
  await turns()
  t.ok(writing.healthy())
  await writing.durable(event(put(thing('more', 'more'))))
  await t.rejects(living.read(), { code: 'NEKO_ERR_STORE_UNAVAILABLE' }, 'recovery begins anew')
  const anew = reading()
  for (let looks = 0; looks < 2; looks++) await anew.living.read()
  t.same(anew.effects.pending().map(({ effect }) => effect.id), ['a'], 'what was refused is none, what followed is')
  await writing.close()
})

t.test('a removal that was refused, and stands behind the end of a segment that could not be cut back, is not carried out', async (t) => {
  const { clock, disk, things, writer, put, take, thing, event, textOf, options } = makePlace(versioned)
  const doc = thing('a', 'dead')
  await writer('dead').durable(event(put(doc)))
  await things.put(doc)
  clock.advance(10)
  let fails = false
  const living = writer('living', {
    ...disk.files,
    open (path, mode) {
      const file = disk.files.open(path, mode)
      if (!path.endsWith('.log')) return file
      const fail = (): void => { if (fails) throw failure('EIO') }
      return { ...file, async sync () { fail(); await file.sync() }, truncate (length) { fail(); file.truncate(length) } }
    }
  })
  await living.durable(event(put(thing('other', 'one'))))
  fails = true
  await t.rejects(living.durable(event(take('a'))), { code: 'NEKO_ERR_AUDIT_UNAVAILABLE' })
  fails = false
  clock.advance(500)
  await turns()
  t.ok(living.healthy())
  await living.durable(event(put(thing('other', 'two'))))
  await recoverAudit({ ...options, isLive: isLiving })
  t.equal(textOf('a'), 'dead')
  await living.close()
})

/** Files whose logs' syncs wait for `before`, which may throw. */
function onSync (files: FileLayer, before: () => Promise<void>): FileLayer {
  return {
    ...files,
    open (path, mode) {
      const file = files.open(path, mode)
      return path.endsWith('.log') ? { ...file, async sync () { await before(); await file.sync() } } : file
    }
  }
}
