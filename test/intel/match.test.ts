import t from 'tap'
import fc from 'fast-check'
import { foldName, groupRecords, recordKey } from '../../src/intel/match.ts'
import { toActor, toDocument } from '../../src/intel/profile.ts'
import type { ActorRecord, IntelSource } from '../../src/intel/shapes.ts'
import { record } from './room.ts'

const namesOf = (records: ActorRecord[]): string[] => groupRecords(records).map((group) => group.map((each) => each.name).join('+')).sort()

t.test('case, accents, punctuation and spaces of a name do not count, letters of any script do', async (t) => {
  t.equal(foldName('APT-28'), 'apt28')
  t.equal(foldName('  Àpt 28 '), 'apt28')
  t.equal(foldName('Große Straße'), 'grossestrasse')
  t.equal(foldName('狼毒草'), '狼毒草')
  t.equal(foldName('ＡＰＴ２８'), 'apt28', 'full-width letters are letters')
  t.equal(foldName('$$$'), '$$$', 'a name of punctuation alone stays itself')
})

t.test('a common ATT&CK id joins actors of different names', async (t) => {
  t.same(namesOf([record('mitre-attack', 'a', 'Ke3chang', { attackIds: ['G0004'] }), record('misp-galaxy', 'b', 'APT15', { attackIds: ['G0004'] })]), ['Ke3chang+APT15'])
})

t.test('equal names join, and so does a name that is the other one\'s alias', async (t) => {
  t.same(namesOf([record('mitre-attack', 'a', 'Moses Staff'), record('misp-galaxy', 'b', 'MosesStaff')]), ['Moses Staff+MosesStaff'])
  t.same(namesOf([record('mitre-attack', 'a', 'Patchwork', { aliases: ['Dropping Elephant'] }), record('misp-galaxy', 'b', 'Dropping Elephant')]), ['Patchwork+Dropping Elephant'])
})

t.test('an alias that two actors of one source share joins nobody', async (t) => {
  t.same(namesOf([
    record('mitre-attack', 'a', 'Ember Bear', { aliases: ['UAC-0056'] }),
    record('mitre-attack', 'b', 'Saint Bear', { aliases: ['UAC-0056'] }),
    record('misp-galaxy', 'c', 'Lorec', { aliases: ['UAC 0056'] })
  ]), ['Ember Bear', 'Lorec', 'Saint Bear'])
})

t.test('a shared alias that is the proper name of exactly one of them belongs to that one', async (t) => {
  t.same(namesOf([
    record('misp-galaxy', 'a', 'Lazarus Group', { aliases: ['Stardust Chollima'] }),
    record('misp-galaxy', 'b', 'STARDUST CHOLLIMA'),
    record('mitre-attack', 'c', 'APT38', { aliases: ['Stardust Chollima'] })
  ]), ['APT38+STARDUST CHOLLIMA', 'Lazarus Group'])
})

t.test('equal evidence for two candidates joins neither', async (t) => {
  t.same(namesOf([
    record('mitre-attack', 'a', 'One', { aliases: ['x'] }),
    record('mitre-attack', 'b', 'Two', { aliases: ['y'] }),
    record('misp-galaxy', 'c', 'Three', { aliases: ['x', 'y'] })
  ]), ['One', 'Three', 'Two'])
})

t.test('different ATT&CK ids keep equal names apart, unless one of the ids is nobody\'s any more', async (t) => {
  t.same(namesOf([
    record('mitre-attack', 'a', 'Kitten', { attackIds: ['G0001'] }),
    record('mitre-attack', 'b', 'Cat', { attackIds: ['G0002'] }),
    record('misp-galaxy', 'c', 'Kitten', { attackIds: ['G0002'] })
  ]), ['Cat+Kitten', 'Kitten'])
  t.same(namesOf([record('mitre-attack', 'a', 'Kimsuky', { attackIds: ['G0094'] }), record('misp-galaxy', 'c', 'Kimsuky', { attackIds: ['G0086'] })]), ['Kimsuky+Kimsuky'])
})

t.test('a cluster that claims two ATT&CK groups joins the one whose name it bears', async (t) => {
  t.same(namesOf([
    record('mitre-attack', 'a', 'Carbanak', { attackIds: ['G0008'] }),
    record('mitre-attack', 'b', 'FIN7', { attackIds: ['G0046'] }),
    record('misp-galaxy', 'c', 'FIN7', { attackIds: ['G0008', 'G0046'] })
  ]), ['Carbanak', 'FIN7+FIN7'])
})

t.test('groups and what they come to do not depend on the order of the records', async () => {
  const sources: IntelSource[] = ['mitre-attack', 'misp-galaxy', 'stix-intrusion-set', 'stix-threat-actor', 'seed']
  const name = fc.constantFrom('apt1', 'APT 1', 'bear', 'kitten', 'panda', 'x', 'y', 'z', '狼', '')
  const records = fc.uniqueArray(fc.record({ source: fc.constantFrom(...sources), key: fc.constantFrom('a', 'b', 'c', 'd'), name, aliases: fc.array(name, { maxLength: 3 }), attackIds: fc.subarray(['G0001', 'G0002', 'G0003'], { maxLength: 2 }) }), { selector: recordKey, maxLength: 14 })
    .map((list) => list.map(({ source, key, name, ...rest }) => record(source, key, name, rest)))
  fc.assert(fc.property(records, fc.infiniteStream(fc.nat()), (list, random) => {
    const shuffled = list.map((each) => ({ each, at: random.next().value as number })).sort((a, b) => a.at - b.at).map(({ each }) => each)
    const groups = groupRecords(list)
    if (JSON.stringify(groupRecords(shuffled).map(toDocument)) !== JSON.stringify(groups.map(toDocument))) throw new Error('the order shows')
    const flat = groups.flat()
    if (flat.length !== list.length || new Set(flat.map(recordKey)).size !== list.length) throw new Error('a record was lost or doubled')
    for (const group of groups) if (new Set(group.map(({ source }) => source)).size !== group.length) throw new Error('two records of one source in a group')
  }), { numRuns: 500 })
})

t.test('what a merged actor shows: the trusted name, all aliases once, the only country, the widest span, every source', async (t) => {
  const [group] = groupRecords([
    record('misp-galaxy', 'b', 'Sofacy', { aliases: ['apt 28', 'Sednit'], country: 'RU', firstSeen: 200, lastSeen: 900, category: 'STATE_SPONSORED', categoryGrade: 4, motivation: 'Espionage' }),
    record('mitre-attack', 'a', 'APT28', { aliases: ['Sofacy', 'SEDNIT'], firstSeen: 100, lastSeen: 800, description: 'A', techniques: [{ id: 'T1190', name: 'Exploit' }], category: 'CYBERCRIME', categoryGrade: 3 })
  ])
  const actor = toActor(toDocument(group!))
  t.match(actor, { name: 'APT28', country: 'RU', firstSeen: 100, lastSeen: 900, category: 'STATE_SPONSORED', motivation: 'Espionage', description: 'A', sources: ['mitre-attack', 'misp-galaxy'] })
  t.same(actor.aliases, ['Sofacy', 'SEDNIT'])
  t.same(actor.techniques, [{ id: 'T1190', name: 'Exploit' }])
})
