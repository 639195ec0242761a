import t from 'tap'
import { prepareIntel } from '../../src/intel/prepare.ts'
import { withinBar } from '../bar.ts'
import { sharedPath } from '../shared.ts'
import { openIntel } from './room.ts'

const stix = sharedPath('intel/attack-groups.stix.json.gz')
const misp = sharedPath('intel/misp-threat-actor.json.gz')

t.test('both real files are imported in under 5 s', { skip: stix === null || misp === null ? '../shared is absent' : false }, async (t) => {
  const { intel, storage } = await openIntel(t)
  await prepareIntel({ storage })
  const startMs = performance.now()
  for (const path of [stix!, misp!]) await intel.importSource(path, { format: null, actor: 'system' })
  withinBar(t, 'both imports', performance.now() - startMs, 5000)
})
