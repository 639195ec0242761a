import t from 'tap'
import { openActors, type ActorStore } from '../../src/intel/actor-store.ts'
import { toActor, toDocument } from '../../src/intel/profile.ts'
import { intelCollections, type ActorDocument } from '../../src/intel/shapes.ts'
import { createShownActors } from '../../src/intel/shown-actors.ts'
import { openTestStorage } from '../storage.ts'
import { openIntel, record } from './room.ts'

const actor = (name: string, more: Parameters<typeof record>[3] = {}): ActorDocument =>
  toDocument([record('administrator', name, name, more)])

/** A store, and how many documents its readers had to work out. */
async function openCounted (
  t: Parameters<typeof openTestStorage>[0]
): Promise<{ actors: ActorStore, worked: () => number }> {
  const actors = openActors(await openTestStorage(t, intelCollections))
  let count = 0
  const getChanged: ActorStore['getChanged'] = async (known) => {
    const readings = await actors.getChanged(known)
    count += readings.filter(({ document }) => document !== null).length
    return readings
  }
  return {
    actors: { ...actors, getChanged },
    worked () {
      const was = count
      count = 0
      return was
    }
  }
}

t.test('an actor is worked out once for each writing, whoever wrote it', async (t) => {
  const { actors, worked } = await openCounted(t)
  const [heron, crane] = [actor('Heron', { techniques: [{ id: 'T1566', name: null }] }), actor('Crane')]
  await actors.insertMany([heron, crane])
  const shown = createShownActors(actors)
  const ids = [crane.id, 'ta_00000000000000000000', heron.id]
  t.same(await shown.getMany(ids), [toActor(crane), toActor(heron)], 'in the order of the ids, less what is not there')
  t.equal(worked(), 2)
  const [first, second] = await shown.getMany(ids)
  t.equal(worked(), 0)
  t.equal(await shown.get(heron.id), second, 'one actor alone is the same one')
  await actors.replace({ ...heron, name: 'Grey Heron' }, 1)
  const [same, other] = await shown.getMany(ids)
  t.equal(worked(), 1)
  t.equal(same, first)
  t.equal(other?.name, 'Grey Heron')
  await actors.delete(crane.id)
  t.equal(await shown.get(crane.id), null)
  await actors.insertMany([{ ...crane, name: 'Red Crane' }])
  t.equal((await shown.get(crane.id))?.name, 'Red Crane', 'at the revision that the removed one had')
})

t.test('nobody can change what others are shown', async (t) => {
  const { actors } = await openCounted(t)
  const heron = actor('Heron', { aliases: ['Egret'], techniques: [{ id: 'T1566', name: null }] })
  await actors.insert(heron)
  const shown = createShownActors(actors)
  const held = (await shown.get(heron.id))!
  t.throws(() => { held.name = 'x' }, TypeError)
  t.throws(() => held.aliases.push('x'), TypeError)
  t.throws(() => { held.techniques[0]!.name = 'x' }, TypeError)
  t.same(await shown.get(heron.id), toActor(heron))
})

t.test('what is held takes no more than its bound, and what found no place is shown all the same', async (t) => {
  const { actors, worked } = await openCounted(t)
  const bytesMax = 256 * 1024
  const documents = Array.from({ length: 60 }, (_, i) => actor(`Heron ${i}`, { description: 'x'.repeat(4000) }))
  const references = Array.from({ length: 200 }, (_, i) => ({ name: null, url: `https://example.org/${i}` }))
  const large = actor('Large', { description: 'x'.repeat(4000), references })
  await actors.insertMany([...documents, large])
  const shown = createShownActors(actors, { bytesMax })
  for (const { id } of documents) t.equal((await shown.get(id))?.id, id)
  t.ok(shown.bytes > bytesMax / 2 && shown.bytes <= bytesMax, `${shown.bytes} bytes`)
  t.equal(worked(), 60)
  t.equal((await shown.get(documents.at(-1)!.id))?.id, documents.at(-1)!.id)
  t.equal(worked(), 0, 'the last is held')
  t.equal((await shown.get(documents[0]!.id))?.id, documents[0]!.id)
  t.equal(worked(), 1, 'the first is not')
  for (let i = 0; i < 2; i++) t.equal((await shown.get(large.id))?.id, large.id)
  t.equal(worked(), 2, 'too large to push out others')
})

t.test('a list and an actor show what an administrator and another process wrote, at once', async (t) => {
  const { intel, sibling, storage } = await openIntel(t)
  const { id } = await intel.add({ name: 'Heron' }, 'user:1')
  const names = async (): Promise<string[]> => [
    ...(await intel.page({ first: 20 })).items,
    ...(await sibling.page({ first: 20 })).items,
    (await intel.get(id))!,
    (await sibling.get(id))!
  ].map(({ name, motivation }) => `${name} ${motivation}`)
  t.same(await names(), Array(4).fill('Heron null'))
  await intel.update(id, { motivation: 'Espionage' }, 'user:1')
  t.same(await names(), Array(4).fill('Heron Espionage'))
  // A process that tells nobody: its message was lost.
  const actors = openActors(storage)
  const { revision, ...document } = (await actors.get(id))!
  const records = document.records.map((one) => ({ ...one, motivation: 'Sabotage' }))
  await actors.replace({ ...document, records }, revision)
  t.same(await names(), Array(4).fill('Heron Sabotage'))
})
