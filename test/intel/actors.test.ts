import t from 'tap'
import { NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import type { Intel } from '../../src/intel/actors.ts'
import { prepareIntel } from '../../src/intel/prepare.ts'
import { SEEDS } from '../../src/intel/seed.ts'
import type { ActorInput } from '../../src/intel/actor-input.ts'
import { actorCollection, type ImportCounts, type ThreatActor } from '../../src/intel/shapes.ts'
import type { Document } from '../../src/storage/port.ts'
import { attackGroup, bundle, bytesOf, cluster, galaxy, group, openIntel } from './room.ts'

const load = async (intel: Intel, value: unknown): Promise<ImportCounts> => await intel.importStream(bytesOf(value), { format: null, actor: 'system' })
const total = async (intel: Intel): Promise<number> => (await intel.counts()).reduce((sum, { count }) => sum + count, 0)
const all = async (intel: Intel): Promise<ThreatActor[]> => (await intel.page({ first: 100 })).items

const stix = bundle(attackGroup(7, 'APT28', { aliases: ['APT28', 'Sofacy'] }), attackGroup(8, 'Dust', { revoked: true }), attackGroup(9, 'Crane'))
const misp = galaxy(cluster(1, 'Fancy Béar', { synonyms: ['G0007', 'Pawn Storm'], country: 'RU', refs: ['https://example.org/1'] }), cluster(2, 'Ostap'))

t.test('an import says what it did, and the same import again does nothing', async (t) => {
  const { intel, audit, storage } = await openIntel(t)
  t.same(await load(intel, stix), { added: 2, updated: 0, merged: 0, unchanged: 0, skipped: [{ reason: 'intrusion-set revoked', count: 1 }] })
  t.match(await load(intel, misp), { added: 1, updated: 0, merged: 1, unchanged: 0, skipped: [] })
  const before = JSON.stringify(await storage.collection({ name: 'threatActors', indexes: [] }).find({ first: 100 }))
  t.match(await load(intel, stix), { added: 0, updated: 0, merged: 0, unchanged: 2 })
  t.match(await load(intel, misp), { added: 0, updated: 0, merged: 0, unchanged: 2 })
  t.equal(JSON.stringify(await storage.collection({ name: 'threatActors', indexes: [] }).find({ first: 100 })), before, 'not even a revision moved')
  t.match(await all(intel), [{ name: 'APT28', aliases: ['Fancy Béar', 'Sofacy', 'Pawn Storm'], country: 'RU', sources: ['mitre-attack', 'misp-galaxy'] }, { name: 'Crane' }, { name: 'Ostap' }])
  t.match(audit.events[0], { category: 'data', type: 'intel.import', outcome: 'ok', details: { added: 2, skipped: 1 } })
})

t.test('a document of an older version, whose records say `lane`, is read as before and written anew only when it changes', async (t) => {
  const [old, now] = [await openIntel(t), await openIntel(t)]
  const stored = old.storage.collection<Document & { records: Array<Record<string, unknown>> }>(actorCollection)
  for (const file of [stix, misp]) await load(now.intel, file)
  const { items } = await now.storage.collection<Document & { records: Array<Record<string, unknown>> }>(actorCollection).find({ first: 100 })
  await stored.insertMany(items.map(({ revision: _revision, ...document }) => ({
    ...document,
    records: document.records.map(({ source, ...record }) => ({ lane: source, ...record }))
  })))
  const former = await stored.find({ first: 100 })
  t.ok(former.items.every(({ records }) => records.every((record) => 'lane' in record && !('source' in record))))
  t.same(await all(old.intel), await all(now.intel), 'ids and sources too')
  for (const file of [stix, misp]) t.match(await load(old.intel, file), { added: 0, updated: 0, merged: 0, unchanged: 2 })
  t.same(await stored.find({ first: 100 }), former, 'not even a revision moved')
  const [first] = await all(old.intel)
  t.match(await old.intel.update(first!.id, { motivation: 'Sabotage' }, 'user:1'), { id: first!.id, sources: ['administrator', 'mitre-attack', 'misp-galaxy'], motivation: 'Sabotage' })
  t.same((await stored.get(first!.id))!.records.map(({ source, lane }) => [source, lane]), [['administrator', 'administrator'], ['mitre-attack', 'mitre-attack'], ['misp-galaxy', 'misp-galaxy']], 'a process of the older version reads it, too')
})

t.test('the order of imports does not show, ids included', async (t) => {
  const [one, other] = [await openIntel(t), await openIntel(t)]
  await prepareIntel({ storage: one.storage })
  for (const file of [stix, misp]) await load(one.intel, file)
  for (const file of [misp, stix]) await load(other.intel, file)
  const counts = await load(other.intel, bundle(group(3, 'Later')))
  t.equal(counts.added, 1)
  await load(one.intel, bundle(group(3, 'Later')))
  const withoutSeeds = (await all(one.intel)).filter(({ sources }) => sources.join() !== 'seed').map(({ id, name }) => `${id} ${name}`)
  t.same(withoutSeeds, (await all(other.intel)).map(({ id, name }) => `${id} ${name}`))
})

t.test('an id from before a merge finds the merged actor', async (t) => {
  const { intel } = await openIntel(t)
  await load(intel, misp)
  const before = (await intel.page({ search: 'fancy bear', first: 1 })).items[0]!
  await load(intel, stix)
  const merged = await intel.get(before.id)
  t.not(merged!.id, before.id)
  t.equal(merged!.name, 'APT28')
  t.equal(await intel.get('ta_' + '0'.repeat(20)), null)
  t.equal(await intel.get('x'.repeat(10_000)), null)
})

t.test('a newer version updates, an older one is skipped', async (t) => {
  const { intel } = await openIntel(t)
  await load(intel, bundle(group(1, 'A')))
  t.match(await load(intel, bundle(group(1, 'B', { modified: '2025-01-01T00:00:00Z' }))), { updated: 1 })
  t.match(await load(intel, bundle(group(1, 'A'))), { updated: 0, skipped: [{ reason: 'older than what is stored', count: 1 }] })
  t.same((await all(intel)).map(({ name }) => name), ['B'])
})

t.test('an input that breaks in its last byte changes nothing', async (t) => {
  const { intel } = await openIntel(t)
  await t.rejects(load(intel, JSON.stringify(stix).slice(0, -1)), { code: 'NEKO_ERR_BODY_INVALID' })
  t.equal(await total(intel), 0)
})

t.test('an import is not written when the audit cannot record it, and a second one at once is refused', async (t) => {
  const { intel, audit } = await openIntel(t)
  audit.fail = new NEKO_ERR_AUDIT_UNAVAILABLE()
  await t.rejects(load(intel, stix), { code: 'NEKO_ERR_AUDIT_UNAVAILABLE' })
  t.equal(await total(intel), 0)
  audit.fail = null
  const [first, second] = await Promise.allSettled([load(intel, stix), load(intel, misp)])
  t.equal(first.status, 'fulfilled')
  t.match(second, { status: 'rejected', reason: { code: 'NEKO_ERR_OVERLOADED' } })
})

t.test('a store that goes away in the middle of an import is waited for', async (t) => {
  let refusals = 0
  const { intel, storage } = await openIntel(t, (real) => ({
    ...real,
    collection (definition) {
      const inner = real.collection(definition)
      return {
        ...inner,
        async insertMany (docs: never[]) {
          if (refusals-- > 0) throw new NEKO_ERR_STORE_UNAVAILABLE()
          return await inner.insertMany(docs)
        }
      } as never
    }
  }))
  await prepareIntel({ storage })
  refusals = 2
  t.match(await load(intel, bundle(group(1, 'Alpha'), group(2, 'Beta'))), { added: 2 })
  t.ok(refusals < 0)
  t.match(await load(intel, bundle(group(1, 'Alpha'), group(2, 'Beta'))), { added: 0, unchanged: 2 })
})

t.test('two processes that import at once end with the same actors as one after the other', async (t) => {
  const { intel, sibling } = await openIntel(t)
  await Promise.all([load(intel, stix), load(sibling, misp)])
  t.match(await all(intel), [{ name: 'APT28', sources: ['mitre-attack', 'misp-galaxy'] }, { name: 'Crane' }, { name: 'Ostap' }])
})

t.test('a sibling shows new counts when the import returns, and an added actor at once', async (t) => {
  const { intel, sibling } = await openIntel(t)
  t.equal(await total(sibling), 0)
  await load(intel, stix)
  t.equal(await total(sibling), 2)
  await intel.add({ name: 'Mine', category: 'INSIDER' }, 'user:1')
  t.equal(await total(sibling), 3)
  t.same((await sibling.counts()).find(({ category }) => category === 'INSIDER'), { category: 'INSIDER', count: 1 })
  t.equal((await sibling.counts()).length, 7, 'empty categories are listed too')
})

t.test('search takes no notice of case, accents and punctuation, and never spans two names', async (t) => {
  const { intel } = await openIntel(t)
  await load(intel, misp)
  const found = async (search: string): Promise<string[]> => (await intel.page({ search, first: 10 })).items.map(({ name }) => name)
  for (const search of ['fancy bear', 'FANCY-BÉAR', 'cy be', 'pawnstorm']) t.same(await found(search), ['Fancy Béar'], search)
  t.same(await found('bear pawn'), [])
  t.same(await found('   '), ['Fancy Béar', 'Ostap'])
  await t.rejects(intel.page({ search: 'x'.repeat(201), first: 10 }), { code: 'NEKO_ERR_INPUT_INVALID' })
  await t.rejects(intel.page({ first: 101 }), { code: 'NEKO_ERR_INPUT_INVALID' })
})

t.test('pages follow one another by cursor without gap or repeat, also when an actor goes in between', async (t) => {
  const { intel } = await openIntel(t)
  await load(intel, galaxy(...Array.from({ length: 25 }, (_, i) => cluster(i + 1, `Actor ${String.fromCharCode(97 + i)}`))))
  const names: string[] = []
  let after: string | null = null
  do {
    const page: Awaited<ReturnType<Intel['page']>> = await intel.page({ first: 10, after })
    t.equal(page.totalCount, names.length === 0 ? 25 : 24)
    names.push(...page.items.map(({ name }) => name))
    if (names.length === 10) await intel.remove(page.items[9]!.id, 'user:1')
    after = page.hasNextPage ? page.cursors.at(-1)! : null
  } while (after !== null)
  t.same(names, Array.from({ length: 25 }, (_, i) => `Actor ${String.fromCharCode(97 + i)}`))
  for (const bad of ['nonsense', '', Buffer.from('["+name",["a"],"x"]').toString('base64url')]) await t.rejects(intel.page({ first: 10, after: bad }), { code: 'NEKO_ERR_CURSOR_INVALID' })
})

t.test('an administrator adds an actor once: taken names and aliases are refused', async (t) => {
  const { intel, sibling, audit } = await openIntel(t)
  await load(intel, stix)
  const actor = await intel.add({ name: 'Paper Wasp', aliases: ['PW', ' '.repeat(2) + 'Wasp'], country: 'NL', category: 'CYBERCRIME', techniques: ['T1190'], references: [{ url: 'https://example.org/wasp' }], firstSeen: 1, lastSeen: 2 }, 'user:1')
  t.match(actor, { name: 'Paper Wasp', aliases: ['PW', 'Wasp'], sources: ['administrator'], techniques: [{ id: 'T1190' }] })
  t.same(await intel.get(actor.id), actor)
  for (const name of ['paper wasp', 'P.W.', 'sofacy']) await t.rejects(intel.add({ name }, 'user:1'), { code: 'NEKO_ERR_STORE_DUPLICATE' }, name)
  t.match(audit.events.filter(({ type }) => type === 'actor.add'), [{ category: 'data', actor: 'user:1', target: actor.id, outcome: 'ok' }])
  const both = await Promise.allSettled([intel.add({ name: 'Twin' }, 'user:1'), sibling.add({ name: 'TWIN' }, 'user:2')])
  t.same(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'], 'two at the same moment in two processes: one wins')
})

t.test('input out of bounds is refused with the field', async (t) => {
  const { intel } = await openIntel(t)
  const bad: Array<[unknown, RegExp]> = [
    [{ name: '' }, /name/], [{ name: '   ' }, /name/], [{ name: '\u200b' }, /name/], [{ name: 'x'.repeat(201) }, /name/], [{ name: { $ne: 1 } }, /name/],
    [{ name: 'a', country: 'Russia' }, /country: two capital letters/], [{ name: 'a', category: 'EVIL' }, /category/], [{ name: 'a', techniques: ['T1'] }, /techniques: .*T1566/],
    [{ name: 'a', references: [{ url: 'javascript:alert(1)' }] }, /references/], [{ name: 'a', references: [{ url: 'https://' + 'u:p@' + 'x.org' }] }, /references/],
    [{ name: 'a', aliases: Array(201).fill('a') }, /aliases/], [{ name: 'a', firstSeen: 2, lastSeen: 1 }, /lastSeen/], [{ name: 'a', firstSeen: -1 }, /firstSeen/], [{ name: 'a', extra: 1 }, /extra/],
    [{ name: 'a', description: 'x'.repeat(4001) }, /description/]
  ]
  for (const [input, message] of bad) await t.rejects(intel.add(input as ActorInput, 'user:1'), { code: 'NEKO_ERR_INPUT_INVALID', message }, JSON.stringify(input).slice(0, 60))
  t.equal(await total(intel), 0)
})

t.test('an administrator\'s word goes before the sources\', outlives imports, and can be taken back', async (t) => {
  const { intel } = await openIntel(t)
  await load(intel, stix)
  const { id } = (await intel.page({ search: 'apt28', first: 1 })).items[0]!
  const changed = await intel.update(id, { name: 'Fancy', country: 'XX', category: 'UNKNOWN', aliases: ['F'] }, 'user:1')
  t.match(changed, { id, name: 'Fancy', country: 'XX', category: 'UNKNOWN', aliases: ['F'], sources: ['administrator', 'mitre-attack'] })
  t.match(await load(intel, misp), { merged: 1 })
  t.match(await load(intel, stix), { unchanged: 2 })
  t.match(await intel.get(id), { id, name: 'Fancy', country: 'XX' })
  t.match(await intel.update(id, { name: null, country: null, aliases: null, category: null }, 'user:1'), { name: 'APT28', country: 'RU', aliases: ['Fancy Béar', 'Sofacy', 'Pawn Storm'] })
  await t.rejects(intel.update(id, {}, 'user:1'), { code: 'NEKO_ERR_INPUT_INVALID' })
  await t.rejects(intel.update(id, { name: 'crane' }, 'user:1'), { code: 'NEKO_ERR_STORE_DUPLICATE' })
  await t.rejects(intel.update('ta_' + '0'.repeat(20), { name: 'x' }, 'user:1'), { code: 'NEKO_ERR_NOT_FOUND' })
  const own = await intel.add({ name: 'Own' }, 'user:1')
  await t.rejects(intel.update(own.id, { name: null }, 'user:1'), { code: 'NEKO_ERR_INPUT_INVALID' })
  t.match(await intel.update(own.id, { name: 'Renamed' }, 'user:1'), { id: own.id, name: 'Renamed' })
  t.match(await intel.add({ name: 'Own' }, 'user:1'), { name: 'Own' }, 'the old name is free again')
})

t.test('concurrent changes of one actor all hold', async (t) => {
  const { intel, sibling } = await openIntel(t)
  const { id } = await intel.add({ name: 'A' }, 'user:1')
  await Promise.all([intel.update(id, { country: 'NL' }, 'user:1'), sibling.update(id, { motivation: 'Fun' }, 'user:2'), intel.update(id, { description: 'Words' }, 'user:1')])
  t.match(await intel.get(id), { country: 'NL', motivation: 'Fun', description: 'Words' })
})

t.test('a removed actor is gone with its redirects, and the audit names who did it', async (t) => {
  const { intel, audit } = await openIntel(t)
  await load(intel, misp)
  const alone = (await intel.page({ search: 'fancy', first: 1 })).items[0]!
  await load(intel, stix)
  t.match(await intel.remove(alone.id, 'user:9'), { name: 'APT28' })
  t.equal(await intel.get(alone.id), null)
  await t.rejects(intel.remove(alone.id, 'user:9'), { code: 'NEKO_ERR_NOT_FOUND' })
  t.match(audit.events.at(-1), { type: 'actor.remove', actor: 'user:9', outcome: 'ok' })
  audit.fail = new NEKO_ERR_AUDIT_UNAVAILABLE()
  const { id } = (await all(intel))[0]!
  await t.rejects(intel.remove(id, 'user:9'), { code: 'NEKO_ERR_AUDIT_UNAVAILABLE' })
  t.ok(await intel.get(id), 'nothing changes that cannot be recorded')
})

t.test('an actor added by hand is joined by an import that knows it, and its id keeps working', async (t) => {
  const { intel } = await openIntel(t)
  const own = await intel.add({ name: 'Pawn-Storm', country: 'DE' }, 'user:1')
  t.match(await load(intel, misp), { added: 1, merged: 1 })
  t.match(await intel.get(own.id), { name: 'Pawn-Storm', country: 'DE', sources: ['administrator', 'misp-galaxy'] })
})

t.test('the seeds fill an empty store once, join ATT&CK by id, and stay removed when removed', async (t) => {
  const { intel, storage } = await openIntel(t)
  t.equal(await prepareIntel({ storage }), SEEDS.length)
  t.equal(await prepareIntel({ storage }), 0)
  t.ok(SEEDS.length >= 12 && SEEDS.length <= 20)
  t.match(await load(intel, stix), { added: 1, merged: 1 })
  t.match(await intel.page({ search: 'apt28', first: 5 }), { items: [{ sources: ['mitre-attack', 'seed'], country: 'RU' }], totalCount: 1 })
  await intel.remove((await intel.page({ search: 'turla', first: 1 })).items[0]!.id, 'user:1')
  t.equal(await prepareIntel({ storage }), 0)
})
