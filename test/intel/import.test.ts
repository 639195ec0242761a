import { gzipSync } from 'node:zlib'
import t from 'tap'
import { asDescription, asMoment, asReference, sinceOfText } from '../../src/intel/facts.ts'
import { inferCategory } from '../../src/intel/category.ts'
import { readRecords } from '../../src/intel/import.ts'
import { attackGroup, bundle, bytesOf, cluster, galaxy, group, technique, uses, uuid } from './room.ts'

const read = async (value: unknown, pieceBytes?: number): ReturnType<typeof readRecords> => await readRecords(bytesOf(value, pieceBytes), { format: null })

t.test('a STIX bundle gives its groups with the techniques they use, whatever the order of its objects', async (t) => {
  const objects = [uses(50, 1, 10), uses(51, 1, 11), technique(10, 'T1190'), technique(11, 'T1059.001', { revoked: true }), attackGroup(1, 'APT1', { aliases: ['APT1', 'Comment Crew'] })]
  const { records, skipped } = await read(bundle(...objects))
  t.match(records, [{ source: 'mitre-attack', key: `intrusion-set--${uuid(1)}`, name: 'APT1', aliases: ['Comment Crew'], attackIds: ['G0001'], techniques: [{ id: 'T1190', name: 'Technique T1190' }] }])
  t.same([...skipped], [['attack-pattern revoked', 1]])
})

t.test('STIX 2.1 threat actors bring type, motivation, span and the country they come from', async (t) => {
  const { records } = await read(bundle(
    { type: 'location', spec_version: '2.1', id: `location--${uuid(3)}`, country: 'ro' },
    { type: 'relationship', id: `relationship--${uuid(4)}`, relationship_type: 'originates-from', source_ref: `threat-actor--${uuid(2)}`, target_ref: `location--${uuid(3)}` },
    { type: 'threat-actor', spec_version: '2.1', id: `threat-actor--${uuid(2)}`, name: 'Crew', threat_actor_types: ['crime-syndicate'], primary_motivation: 'personal-gain', first_seen: '2019-05-01T00:00:00Z', last_seen: '2021' }
  ))
  t.match(records, [{ source: 'stix-threat-actor', country: 'RO', category: 'CYBERCRIME', motivation: 'personal-gain', firstSeen: Date.UTC(2019, 4, 1), lastSeen: Date.UTC(2022, 0, 1) - 1 }])
})

t.test('revoked and deprecated objects are skipped with their reasons', async (t) => {
  const { records, skipped } = await read(bundle(group(1, 'A', { revoked: true }), group(2, 'B', { x_mitre_deprecated: true }), group(3, 'C'), 7, { type: 'identity' }, { type: 'intrusion-set', id: 'nonsense' }, group(4, '  ')))
  t.same(records.map(({ name }) => name), ['C'])
  t.same(Object.fromEntries(skipped), { 'intrusion-set revoked': 1, 'intrusion-set deprecated': 1, 'not an object': 1, 'object of another kind': 1, 'intrusion-set without a STIX id': 1, 'intrusion-set without a name': 1 })
})

t.test('of two versions in one file the newer one counts, wherever it stands', async (t) => {
  const older = group(1, 'Old', { modified: '2020-01-01T00:00:00Z' })
  for (const objects of [[older, group(1, 'New')], [group(1, 'New'), older]]) {
    const { records } = await read(bundle(...objects))
    t.same(records.map(({ name }) => name), ['New'])
  }
})

t.test('a MISP cluster gives names, country, sponsor, ATT&CK ids and safe references', async (t) => {
  const { records } = await read(galaxy(cluster(1, 'APT 28', {
    synonyms: ['Sofacy', 'G0007', 'sofacy'],
    'name-attribution': ['G0007:' + uuid(5), 'Sofacy:' + uuid(6)],
    'cfr-suspected-state-sponsor': 'Russian Federation',
    'cfr-type-of-incident': ['Espionage', 'Sabotage'],
    refs: ['https://example.org/a', 'javascript:alert(1)', 'https://attack.mitre.org/groups/G9999/'],
    since: '2007'
  })))
  t.match(records, [{ source: 'misp-galaxy', key: uuid(1), version: 7, name: 'APT 28', aliases: ['Sofacy'], attackIds: ['G0007'], country: 'RU', category: 'STATE_SPONSORED', motivation: 'Espionage, Sabotage', firstSeen: Date.UTC(2007, 0, 1) }])
  t.same(records[0]!.references!.map(({ url }) => url), ['https://example.org/a', 'https://attack.mitre.org/groups/G9999/'])
})

t.test('gzip is known by its first bytes, also when they come one by one', async (t) => {
  const packed = gzipSync(JSON.stringify(bundle(group(1, 'A'))))
  t.equal((await read(packed)).records.length, 1)
  t.equal((await read(packed, 1)).records.length, 1)
  t.equal((await read('\ufeff' + JSON.stringify(bundle(group(1, 'Ä'))), 3)).records[0]!.name, 'Ä', 'a byte order mark and characters cut in two are read')
})

t.test('what cannot be read is refused with its place', async (t) => {
  const bad = (value: unknown, message: RegExp, format: 'stix' | 'misp' | null = null): Promise<unknown> => t.rejects(readRecords(bytesOf(value), { format }), { code: 'NEKO_ERR_BODY_INVALID', message })
  await bad('', /ends too early, near byte 0/)
  await bad('[]', /top level must be an object/)
  await bad('"x"', /top level must be an object/)
  await bad('{"objects":[{"type":"intrusion-set"},{"a":1,}]}', /near byte 0: it is not JSON/)
  await bad('{"objects":[' + '{"type":"tool","id":"0123456789"},'.repeat(300) + '}', /objects\[\d+\], near byte 8192: it is not JSON/)
  await bad('{"objects":[{"type":"x"}', /ends too early, objects\[1\], near byte 24/)
  await bad(Buffer.from([0x7b, 0x22, 0xff, 0x22]), /not UTF-8/)
  await bad('{"objects":[' + '['.repeat(40) + ']'.repeat(40) + ']}', /nested deeper than 32/)
  await bad('{"a":' + '['.repeat(100_000), /nested deeper than 32/)
  await bad(`{"objects":["${'x'.repeat(5 << 20)}"]}`, /larger than 4194304 bytes/)
  await bad('{"objects":[]}' + ' '.repeat(10) + '{}', /not JSON/)
  await bad('{"hello":1}', /neither/)
  await bad({ objects: [1], values: [1] }, /both/)
  await bad(galaxy(cluster(1, 'A')), /said to be stix and looks like misp/, 'stix')
  await bad(gzipSync('{"objects":[]}').subarray(0, 20), /gzip is broken or cut/)
  await bad(Buffer.from([0x1f, 0x8b, 1, 2, 3]), /gzip is broken or cut/)
})

t.test('bytes are bounded packed and unpacked', async (t) => {
  const bomb = gzipSync(Buffer.alloc(300_000, 0x20))
  await t.rejects(readRecords(bytesOf(bomb), { format: null, bounds: { packedBytesMax: 1e6, plainBytesMax: 100_000 } }), { code: 'NEKO_ERR_BODY_INVALID', message: /more than 100000 bytes when unpacked/ })
  await t.rejects(readRecords(bytesOf(bundle(group(1, 'A'))), { format: null, bounds: { packedBytesMax: 10, plainBytesMax: 100_000 } }), { code: 'NEKO_ERR_BODY_TOO_LARGE' })
})

t.test('dates of every precision, and the end of the span they mean', async (t) => {
  t.equal(asMoment('2017', 'start'), Date.UTC(2017, 0, 1))
  t.equal(asMoment(2017, 'end'), Date.UTC(2018, 0, 1) - 1)
  t.equal(asMoment('2017-02', 'end'), Date.UTC(2017, 2, 1) - 1)
  t.equal(asMoment('2016-02-29', 'end'), Date.UTC(2016, 2, 1) - 1)
  t.equal(asMoment('2017-04-03T10:00:00.5+02:00', 'start'), Date.UTC(2017, 3, 3, 8, 0, 0, 500))
  t.equal(asMoment('2017-04-03T10:00', 'start'), Date.UTC(2017, 3, 3, 10), 'without an offset it is UTC, whatever the zone of this machine')
  for (const odd of ['2017-02-30', '2017-13', '17', 'soon', '9999', '2017-01T10:00Z', null, {}]) t.equal(asMoment(odd, 'start'), null)
  t.equal(sinceOfText('It has been active since at least 2014, and more.'), Date.UTC(2014, 0, 1))
  t.equal(sinceOfText('Founded somewhere.'), null)
})

t.test('references are http, without credentials; descriptions lose their citation marks', async (t) => {
  t.equal(asReference('ftp://x/y', null), null)
  t.equal(asReference('https://' + 'u:p@' + 'example.org/', null), null)
  t.equal(asReference('https://', null), null)
  t.match(asReference(' https://example.org/a b ', 'N'), { url: 'https://example.org/a%20b', name: 'N' })
  t.equal(asDescription('[APT1](https://attack.mitre.org/groups/G0006) is one.(Citation: M)'), 'APT1 is one.')
})

t.test('categories follow from facts, the strongest first', async (t) => {
  const of = (facts: Partial<Parameters<typeof inferCategory>[0]>): string => {
    const { category, categoryGrade } = inferCategory({ types: [], sponsor: null, incidents: [], motives: [], country: null, names: [], description: '', ...facts })
    return `${category} ${categoryGrade}`
  }
  t.equal(of({}), 'UNKNOWN 0')
  t.equal(of({ types: ['insider-disgruntled'] }), 'INSIDER 4')
  t.equal(of({ sponsor: 'China', description: 'uses ransomware' }), 'STATE_SPONSORED 4')
  t.equal(of({ sponsor: 'Unknown', description: 'a ransomware gang' }), 'RANSOMWARE 3')
  t.equal(of({ motives: ['Hacktivists-Nationalists'] }), 'HACKTIVIST 4')
  t.equal(of({ description: 'A financially motivated crew.' }), 'CYBERCRIME 3')
  t.equal(of({ description: 'A terrorist organization online.' }), 'TERRORIST 3')
  t.equal(of({ country: 'CN' }), 'UNKNOWN 0', 'criminals live somewhere too')
  t.equal(of({ country: 'CN', incidents: ['Espionage'] }), 'STATE_SPONSORED 2')
  t.equal(of({ names: ['RIDDLE SPIDER'] }), 'CYBERCRIME 1')
  t.equal(of({ types: ['constructor', '__proto__'] }), 'UNKNOWN 0')
})
