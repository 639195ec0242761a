import { gzipSync } from 'node:zlib'
import t from 'tap'
import fc from 'fast-check'
import { createMispReader } from '../../src/intel/import-misp.ts'
import { createStixReader } from '../../src/intel/import-stix.ts'
import { readRecords } from '../../src/intel/import.ts'
import { threadMs } from '../bar.ts'
import { attackGroup, bundle, bytesOf, technique, uses, uuid } from './room.ts'
import { scaled } from '../scale.ts'

// 2,500 cases over the parsers together, 10,000 nightly, no crash but our own errors, none over 50 ms. CPU time of this thread:
// what other test files do on the same cores is no fault of a parser.
const CASE_MS_MAX = 50

/** A collection of garbage may fall into any case; only what is slow three times in a row is slow by itself. */
async function timed (run: () => unknown): Promise<void> {
  let ms = 0
  for (let attempt = 0; attempt < 3; attempt++) {
    const startMs = threadMs()
    await run()
    ms = threadMs() - startMs
    if (ms <= CASE_MS_MAX) return
  }
  throw new Error(`a case took ${ms} ms`)
}

t.test('hostile objects never crash a reader, and none takes over 50 ms', async () => {
  const keys = ['type', 'id', 'name', 'value', 'uuid', 'meta', 'aliases', 'synonyms', 'external_references', 'source_name', 'external_id', 'url', 'modified', 'first_seen', 'refs', 'country', '__proto__', 'constructor', 'relationship_type', 'source_ref', 'target_ref', 'description', 'name-attribution', 'since']
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('intrusion-set', 'threat-actor', 'attack-pattern', 'relationship', `intrusion-set--${uuid(1)}`, uuid(2), 'G0001', 'mitre-attack', '2017', 'uses', 'https://x.org', '\ud800'.repeat(50), 'a'.repeat(20_000), '[x](http://'.repeat(2000), '(Citation: '.repeat(2000), 'active since '.repeat(1000), ' '.repeat(100_000)))
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ depthSize: 'small' }, text, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), tie('list'), tie('object')),
    list: fc.array(tie('any'), { maxLength: 6 }),
    object: fc.dictionary(fc.constantFrom(...keys), tie('any'), { maxKeys: 10 })
  }))
  const shell = fc.record({ type: fc.constantFrom('intrusion-set', 'threat-actor', 'attack-pattern', 'relationship'), id: fc.constant(`intrusion-set--${uuid(1)}`), name: text, value: text, uuid: fc.constant(uuid(2)), description: text })
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(shell, value.object).map(([a, b]) => ({ ...a, ...(b as object) })), { maxLength: 4 }), value.any, (elements, odd) => timed(() => {
    for (const reader of [createStixReader(), createMispReader()]) {
      for (const element of [...elements, odd]) reader.take(element)
      reader.finish()
    }
  })), { numRuns: scaled(1_500, 6_000) })
})

t.test('hostile bytes are refused by our own errors alone', async () => {
  const valid = JSON.stringify(bundle(attackGroup(1, 'A'), uses(2, 1, 3), technique(3, 'T1001')))
  const mangled = fc.tuple(fc.nat(valid.length), fc.nat(20), fc.string({ unit: 'binary', maxLength: 10 })).map(([at, drop, put]) => valid.slice(0, at) + put + valid.slice(at + drop))
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map((json) => Buffer.from(json)), mangled.map((text) => Buffer.from(text)), mangled.map((text) => gzipSync(text)))
  await fc.assert(fc.asyncProperty(bytes, fc.integer({ min: 1, max: 400 }), async (input, piece) => {
    await timed(() => readRecords(bytesOf(input, piece), { format: null }).catch((error: { code?: string }) => {
      if (error.code !== 'NEKO_ERR_BODY_INVALID') throw error
    }))
  }), { numRuns: scaled(1_000, 4_000) })
})
