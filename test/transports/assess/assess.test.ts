import t, { type Test } from 'tap'
import { createHistory } from '../../../src/clients/history.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { createDecoys } from '../../../src/transaction/decoys.ts'
import { createWalk, type WalkParts } from '../../../src/transaction/walk.ts'
import { createAssess, type Assess } from '../../../src/transports/assess/assess.ts'
import { explainAssessment } from '../../../src/receipts/explain.ts'
import type { Receipts } from '../../../src/receipts/receipts.ts'
import { openRooms } from '../../receipts/room.ts'

const INJECTION = "/catalog?q=1'%20union%20select%20username,password%20from%20users--%20"

const BLOCKED = '192.0.2.66'

async function openDoor (t: Test): Promise<{ assess: Assess, receipts: Receipts }> {
  const { rooms, clock } = await openRooms(t)
  const { assessments: receipts, pool, processId } = rooms[0]!
  const parts = {
    clock,
    processId,
    receipts,
    threads: pool,
    clients: createHistory({ clock }),
    decoys: createDecoys(['/.env']),
    decisions: { forAddress: (address: string) => address === BLOCKED ? { id: 'dc_1', action: 'BLOCK' } : null },
    metrics: createMetrics(),
    log: { info () {}, error (facts: object) { t.fail('nothing throws', facts) } },
    bodyBytesMax: 65_536,
    challengeThreshold: 40,
    blockThreshold: 75,
    shadow: false
  }
  return { receipts, assess: createAssess({ receipts, walk: createWalk(parts as unknown as WalkParts) }) }
}

t.test('assess: in order, without acting, with the history of an address', async (t) => {
  const { assess, receipts } = await openDoor(t)
  const asked = await assess([
    { method: 'GET', url: '/', headers: { Host: 'shop.example', Accept: ['*/*', 'text/html'] } },
    { method: 'GET', url: INJECTION, headers: [['Host', 'shop.example']], ip: '192.0.2.77' },
    { method: 'POST', url: '/', headers: [{ name: 'Host', value: 'x' }], bodyBase64: Buffer.from('a=1').toString('base64') }
  ], { acts: false, submitter: 'key:tests' })
  t.equal(asked.length, 3)
  t.ok(asked[1]!.score > asked[0]!.score)
  const whole = await receipts.get(asked[1]!.id)
  t.equal(whole?.external, true)
  t.equal((await receipts.stats(60)).requests, 0, 'nothing is counted that was not asked to act')
  await assess([{ method: 'GET', url: '/', ip: '192.0.2.77' }], { acts: true, submitter: 'key:tests' })
  t.equal((await receipts.stats(60)).requests, 1)
  const after = (await assess([{ method: 'GET', url: '/', ip: '192.0.2.77' }], { acts: false, submitter: 'key:tests' }))[0]
  t.equal(after?.observation?.history?.['requests60s'], 1, 'the history grew by the one that acted')
  for (const wrong of [[], new Array(101).fill({ method: 'GET', url: '/' }), [{ method: 'GET', url: '/', ip: 'nowhere' }], [{ method: 'GET', url: '/', body: 'a', body_b64: 'YQ==' }], [{ method: 'GET', url: '/', body_b64: '***' }]]) {
    await t.rejects(assess(wrong, { acts: false, submitter: 'key:tests' }), { code: 'NEKO_ERR_INPUT_INVALID' })
  }
})

t.test('assess: a verdict that a standing decision makes says which', async (t) => {
  const { assess, receipts } = await openDoor(t)
  const [blocked, other] = await assess([BLOCKED, '192.0.2.67'].map((ip) => ({ method: 'GET', url: '/', headers: { Host: 'shop.example' }, ip })), { acts: false, submitter: 'key:tests' })
  t.match(await receipts.get(blocked!.id), { action: 'BLOCK', decisionId: 'dc_1' })
  t.match(explainAssessment((await receipts.get(blocked!.id))!), /standing decision dc_1/)
  t.match(await receipts.get(other!.id), { action: 'ALLOW', decisionId: null })
})
