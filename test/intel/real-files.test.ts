import t from 'tap'
import type { Intel } from '../../src/intel/actors.ts'
import { prepareIntel } from '../../src/intel/prepare.ts'
import type { ImportCounts } from '../../src/intel/shapes.ts'
import { sharedPath } from '../shared.ts'
import { openIntel } from './room.ts'

const stix = sharedPath('intel/attack-groups.stix.json.gz')
const misp = sharedPath('intel/misp-threat-actor.json.gz')

const load = async (intel: Intel, path: string): Promise<ImportCounts> => await intel.importSource(path, { format: null, actor: 'system' })

t.test('both real files are imported, a second time without a change, in either order to the same actors', { skip: stix === null || misp === null ? '../shared is absent' : false }, async (t) => {
  const { intel, sibling, storage } = await openIntel(t)
  await prepareIntel({ storage })
  const first = await load(intel, stix!)
  const second = await load(intel, misp!)
  t.comment(JSON.stringify({ first, second, counts: await sibling.counts() }))
  t.equal(first.added + first.merged, 172)
  t.equal(second.added + second.merged, 1041)
  t.match(await load(intel, stix!), { added: 0, updated: 0, merged: 0, unchanged: 172 })
  t.match(await load(intel, misp!), { added: 0, updated: 0, merged: 0, unchanged: 1041 })
  const total = (await sibling.counts()).reduce((sum, { count }) => sum + count, 0)
  t.equal(total, 172 + 1041 - second.merged)

  // The MongoDB-protocol server of the tests takes half a minute for what SQLite does in a second; the smaller tests show the same of both.
  if (process.env.NEKO_TEST_STORE === 'mongodb') return
  const other = await openIntel(t)
  await prepareIntel({ storage: other.storage })
  await load(other.intel, misp!)
  await load(other.intel, stix!)
  const whole = async (room: Intel): Promise<string> => {
    const pages: unknown[] = []
    let after: string | null = null
    do {
      const page: Awaited<ReturnType<Intel['page']>> = await room.page({ first: 100, after })
      pages.push(page.items)
      after = page.hasNextPage ? page.cursors.at(-1)! : null
    } while (after !== null)
    return JSON.stringify(pages)
  }
  t.ok(await whole(intel) === await whole(other.intel), 'every fact of every actor is the same')
  t.same((await intel.page({ search: 'sofacy', first: 5 })).items.map(({ name, sources }) => [name, sources]), [['APT28', ['mitre-attack', 'misp-galaxy', 'seed']]])
})
