import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadPlaybooks } from '../../src/playbooks/override.ts'
import { PLAYBOOK_NAMES, type PlaybookName, type Detection } from '../../src/playbooks/shapes.ts'
import { attackerAt, openPlaybooks, detection } from './room.ts'
import { whileTimePasses } from '../time.ts'

/** What fires each, what it does, and a request just short of it. */
const fixtures: Record<PlaybookName, { fires: Partial<Detection>, short: Partial<Detection>, does: string[] }> = {
  CRITICAL_THREAT_RESPONSE: { fires: { score: 90, refused: true }, short: { score: 89.99, refused: true }, does: ['block ip:192.0.2.1 86400'] },
  ACTIVE_ATTACK_DETECTED: { fires: { grade: 'certain' }, short: { grade: 'likely' }, does: ['block ip:192.0.2.1 14400'] },
  RATE_LIMIT_VIOLATION: {
    fires: { score: 0, crossed: { tier: 'standard', key: 'ip:192.0.2.1', attempt: false, violations600s: 3 } },
    short: { score: 0, crossed: { tier: 'standard', key: 'ip:192.0.2.1', attempt: false, violations600s: 2 } },
    does: ['limit standard ip:192.0.2.1 300000']
  },
  AUTOMATION_DETECTED: { fires: { automation: true }, short: {}, does: ['hold ip:192.0.2.1 600000', 'challenge ip:192.0.2.1 600'] },
  HONEYPOT_CAPTURE: { fires: { score: 30, decoy: true }, short: { score: 30 }, does: [] },
  BEHAVIORAL_ANOMALY: { fires: { score: 10, anomaly: true }, short: { score: 10 }, does: ['watch ip:192.0.2.1 3600000'] },
  HIGH_THREAT_RESPONSE: { fires: { score: 75, refused: true, refusals600s: 3 }, short: { score: 75, refused: true, refusals600s: 2 }, does: ['block ip:192.0.2.1 7200'] },
  STANDARD_MONITORING: { fires: { score: 40 }, short: { score: 39 }, does: [] }
}

for (const name of PLAYBOOK_NAMES) {
  t.test(`${name} fires on its fixture and on nothing short of it`, async (t) => {
    const { fires, short, does } = fixtures[name]
    const { rooms: [room] } = await openPlaybooks(t)
    room!.playbooks.respond(detection(short))
    await room!.settled()
    t.notOk(room!.runs.some((run) => run.playbook === name))
    room!.playbooks.forget('ip:192.0.2.1')
    room!.acted.length = 0
    const runs = room!.playbooks.respond(detection(fires))
    await room!.settled()
    t.same(runs.map((run) => run.playbook), [name], 'and nothing else does')
    t.same(room!.acted, does)
    t.match(room!.audited.at(-1), { type: 'playbook.run', target: 'ip:192.0.2.1', details: { playbook: name } })
    const { items } = await room!.incidents.list(null, { first: 10, after: null })
    t.equal(items.some((incident) => incident.playbook === name), name !== 'STANDARD_MONITORING')
  })
}

t.test('a login over the strict tier is a violation at once', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  room!.playbooks.respond(detection({ score: 0, crossed: { tier: 'strict', key: 'ip:192.0.2.1', attempt: true, violations600s: 1 } }))
  t.same(room!.acted, ['limit strict ip:192.0.2.1 300000'])
})

t.test('one run blocks, the others of the same request record', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  const runs = room!.playbooks.respond(detection({ score: 95, grade: 'certain', decoy: true, refused: true, refusals600s: 3 }))
  await room!.settled()
  t.same(runs.map((run) => run.playbook), ['CRITICAL_THREAT_RESPONSE', 'ACTIVE_ATTACK_DETECTED', 'HONEYPOT_CAPTURE', 'HIGH_THREAT_RESPONSE'])
  t.same(room!.acted, ['block ip:192.0.2.1 86400'])
  const { items: [incident] } = await room!.incidents.list('OPEN', { first: 10, after: null })
  t.match(incident, { playbook: 'CRITICAL_THREAT_RESPONSE', critical: true, count: 4, techniques: ['T1190'] })
  t.equal(incident!.timeline.length, 4)
  t.match(room!.notices, [{ kind: 'escalate', incident: incident!.id }], 'one webhook for all four')
})

t.test('a decoy touched at a blocking score blocks for two hours', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  room!.playbooks.respond(detection({ score: 80, decoy: true }))
  t.same(room!.acted, ['block ip:192.0.2.1 7200'])
})

t.test('a decoy touched at a low score does not spare who touches one at a blocking score', async (t) => {
  const { rooms: [room, sibling] } = await openPlaybooks(t, { count: 2 })
  room!.playbooks.respond(detection({ score: 22, decoy: true }))
  t.same(room!.acted, [])
  room!.playbooks.respond(detection({ score: 80, decoy: true }))
  sibling!.playbooks.respond(detection({ score: 80, decoy: true }))
  room!.playbooks.respond(detection({ score: 22, decoy: true }))
  await room!.settled()
  t.same(room!.acted, ['block ip:192.0.2.1 7200'], 'once')
  const { items: [incident] } = await room!.incidents.list('OPEN', { first: 10, after: null })
  t.equal(incident!.timeline.length, 2, 'and both runs are told of, whichever process had them')
})

t.test('whom an allow spared is blocked by the next attack once the allow is gone; until then one run is recorded per window', async (t) => {
  let spared = true
  const blocks: string[] = []
  const { rooms: [room, sibling] } = await openPlaybooks(t, {
    count: 2,
    actions: {
      previewDecision: ({ ttlSeconds }) => spared ? null : { ttlSeconds },
      addDecision (input, by) {
        if (spared) return null
        blocks.push(`${by.origin} ${input.value}`)
        return { ...input, id: 'dc_1', origin: by.origin, originKind: 'playbook', simulated: false, createdAt: 0, expiresAt: 1, assessmentId: null }
      }
    }
  })
  const [strong, weaker] = [{ score: 97, grade: 'certain' }, { score: 80, grade: 'certain' }] as const
  const attack = async (more: Partial<Detection>, value: string): Promise<void> => {
    for (const { playbooks, settled } of [room!, sibling!]) {
      playbooks.respond(detection({ ...more, attacker: { scope: 'IP', value }, client: `ip:${value}` }))
      await settled()
    }
  }
  for (let i = 0; i < 5; i++) await attack(strong, '192.0.2.1')
  await attack(strong, '192.0.2.2')
  t.same([...room!.runs, ...sibling!.runs].filter(({ attacker }) => attacker === 'ip:192.0.2.1').map(({ playbook }) => playbook), ['CRITICAL_THREAT_RESPONSE', 'ACTIVE_ATTACK_DETECTED'])
  t.same(blocks, [])
  spared = false
  await attack(strong, '192.0.2.1')
  t.same(blocks, ['playbook:CRITICAL_THREAT_RESPONSE 192.0.2.1'])
  await attack(weaker, '192.0.2.2')
  t.same(blocks[1], 'playbook:ACTIVE_ATTACK_DETECTED 192.0.2.2', 'also by a playbook whose run did not block, since another did')
  await attack(strong, '192.0.2.1')
  t.equal(blocks.length, 2, 'once')
})

t.test('the cheap score blocks nobody for longer than its request', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  t.same(room!.playbooks.respond(detection({ score: 99, degraded: true })).map((run) => run.playbook), ['STANDARD_MONITORING'])
  t.same(room!.acted, [])
})

t.test('in shadow decisions are simulated and nobody is held or limited', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  room!.playbooks.respond(detection({ score: 95, simulated: true, automation: true, crossed: { tier: 'strict', key: 'k', attempt: true, violations600s: 1 } }))
  t.same(room!.acted, ['block ip:192.0.2.1 86400 simulated', 'challenge ip:192.0.2.1 600 simulated'])
})

t.test('the same attacker a thousand times is one run, one incident and one webhook per window', async (t) => {
  const { rooms: [room], clock } = await openPlaybooks(t)
  for (let i = 0; i < 1000; i++) room!.playbooks.respond(detection({ score: 95 }))
  await room!.settled()
  t.equal(room!.acted.length, 1)
  t.equal(room!.runs.length, 1)
  t.equal(room!.notices.length, 1)
  clock.advance(61_000)
  room!.playbooks.respond(detection({ score: 95 }))
  await room!.settled()
  t.equal(room!.runs.length, 2)
  t.equal((await room!.incidents.count(null)), 1)
  t.equal(room!.notices.length, 1, 'told already')
})

t.test('two processes that see one attack at the same moment tell of it once', async (t) => {
  const { rooms } = await openPlaybooks(t, { count: 3 })
  for (const { playbooks } of rooms) playbooks.respond(detection({ score: 95, grade: 'certain' }))
  await Promise.all(rooms.map((room) => room.settled()))
  t.equal(rooms.filter(({ notices }) => notices.length > 0).length, 1, 'one process tells, in one message')
  t.same(rooms.flatMap(({ runs }) => runs.map((run) => run.playbook)).sort(), ['ACTIVE_ATTACK_DETECTED', 'CRITICAL_THREAT_RESPONSE'])
  const { items: [incident] } = await rooms[0]!.incidents.list('OPEN', { first: 10, after: null })
  t.equal(incident!.count, 2)
})

t.test('an escalation right after an alert about the same attacker is told too, once', async (t) => {
  for (const afterMs of [0, 400, 600, 1_100, 1_900, 5_000]) {
    const { rooms: [room], clock } = await openPlaybooks(t)
    room!.playbooks.respond(detection({ grade: 'certain', score: 80 }))
    await room!.settled()
    clock.advance(afterMs)
    for (let i = 0; i < 3; i++) {
      room!.playbooks.respond(detection({ score: 97 }))
      await room!.settled()
      clock.advance(61_000)
    }
    t.match(room!.notices, [{ kind: 'alert' }, { kind: 'escalate', playbook: 'CRITICAL_THREAT_RESPONSE' }], `after ${afterMs} ms`)
    t.equal(room!.notices.length, 2)
  }
})

t.test('an escalation that a sibling sees travels with the message that gathers, and alone when nobody gathers any more', async (t) => {
  const { rooms: [one, other], clock } = await openPlaybooks(t, { count: 2 })
  one!.playbooks.respond(detection({ grade: 'certain', score: 80 }))
  await one!.settled()
  other!.playbooks.respond(detection({ score: 97 }))
  await other!.settled()
  t.match(one!.notices, [{ kind: 'alert' }, { kind: 'escalate' }])
  t.same(other!.notices, [])
  const late = attackerAt(1)
  one!.playbooks.respond(detection({ grade: 'certain', score: 80, ...late }))
  await one!.settled()
  clock.advance(11_000)
  other!.playbooks.respond(detection({ score: 97, ...late }))
  await other!.settled()
  t.match(other!.notices, [{ kind: 'escalate', attacker: 'ip:10.0.0.1' }])
  const lost = attackerAt(2)
  one!.playbooks.respond(detection({ grade: 'certain', score: 80, ...lost }))
  await one!.settled()
  await one!.close()
  other!.playbooks.respond(detection({ score: 97, ...lost }))
  await other!.settled()
  t.match(other!.notices.at(-1), { kind: 'escalate', attacker: 'ip:10.0.0.2' }, 'a process that ends takes nothing with it')
})

t.test('a failing action is tried again three times at most, with jitter, and recorded', async (t) => {
  let tries = 0
  const { rooms: [room], clock } = await openPlaybooks(t, { actions: { watch () { tries++; throw new Error('not now') } } })
  room!.playbooks.respond(detection({ score: 10, anomaly: true }))
  await whileTimePasses(clock, room!.settled())
  t.equal(tries, 4)
  t.match(room!.runs, [{ result: 'failed', steps: [{ do: 'watch', result: 'failed', attempts: 4, detail: 'not now' }] }])
  t.match(room!.audited.at(-1), { type: 'playbook.run', outcome: 'failed' })
})

t.test('an action that fails once is done at the second try, and the others did not wait', async (t) => {
  let tries = 0
  const { rooms: [room], clock } = await openPlaybooks(t, { actions: { hold () { if (tries++ === 0) throw new Error('not now') } } })
  room!.playbooks.respond(detection({ grade: 'certain', automation: true }))
  t.same(room!.acted, ['block ip:192.0.2.1 14400'])
  await whileTimePasses(clock, room!.settled())
  t.match(room!.runs.find((run) => run.playbook === 'AUTOMATION_DETECTED'), { result: 'done', steps: [{ attempts: 2 }] })
})

/** The MongoDB-protocol server of the tests looks at every document for any filter but `_id`: a storm there takes the square of its size. */
const STORM = process.env.NEKO_TEST_STORE === 'mongodb' ? 200 : 10_000

t.test(`${STORM} incidents at once stay bounded, and every attacker is blocked`, async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  for (let i = 0; i < STORM; i++) {
    room!.playbooks.respond(detection({ score: 95, ...attackerAt(i) }))
    // Requests come one by one: the event loop turns between them.
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(room!.acted.length, STORM)
  await room!.settled()
  t.equal(room!.audited.filter(({ type }) => type === 'playbook.run').length, STORM)
  t.ok(await room!.incidents.count(null) >= STORM / 2)
})

t.test('a dry run says what would happen and does nothing; an ordered run is audited before it acts', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  room!.receipts.set('as_1', { id: 'as_1', at: 0, client: 'user:u1', address: '192.0.2.1', method: 'GET', path: '/', route: null, status: 200, score: 30, action: 'ALLOW', simulated: true, source: 'thread', degraded: false, policyVersion: '1', factors: [], grade: null, notInspected: [], decisionId: null, external: false, observation: null })
  const dry = await room!.playbooks.runOn('CRITICAL_THREAT_RESPONSE', 'as_1', { dryRun: true, actor: 'user:anna' })
  t.match(dry, { dryRun: true, result: 'simulated', attacker: 'user:u1', steps: [{ do: 'block', detail: 'would block for 86400 s' }, { do: 'capture' }, { do: 'tag' }, { do: 'escalate' }] })
  const honeypot = await room!.playbooks.runOn('HONEYPOT_CAPTURE', 'as_1', { dryRun: true, actor: 'user:anna' })
  t.same(honeypot.steps.map((step) => step.do), ['capture', 'tag'], 'below the threshold it would not block')
  const limit = await room!.playbooks.runOn('RATE_LIMIT_VIOLATION', 'as_1', { dryRun: true, actor: 'user:anna' })
  t.match(limit.steps, [{ do: 'limit', result: 'skipped', detail: 'no limit was crossed' }], 'what would not be done is not foretold')
  t.same([room!.acted, room!.audited, room!.runs], [[], [], []])
  await room!.playbooks.runOn('CRITICAL_THREAT_RESPONSE', 'as_1', { dryRun: false, actor: 'user:anna' })
  t.match(room!.audited[0], { type: 'playbook.order', actor: 'user:anna', assessmentId: 'as_1', target: 'user:u1' })
  t.same(room!.acted, ['block user:u1 86400'], 'for real, also in shadow, and against the user, not the address')
  await t.rejects(room!.playbooks.runOn('STANDARD_MONITORING', 'as_none', { dryRun: true, actor: 'user:anna' }), { code: 'NEKO_ERR_NOT_FOUND' })
})

t.test('incidents go from open to acknowledged to resolved, and the next attack opens another', async (t) => {
  const { rooms: [room] } = await openPlaybooks(t)
  const { incidents } = room!
  room!.playbooks.respond(detection({ score: 95 }))
  await room!.settled()
  const { items: [first] } = await incidents.list('OPEN', { first: 10, after: null })
  await incidents.setStatus(first!.id, 'ACKNOWLEDGED', 'user:anna')
  const resolved = await incidents.setStatus(first!.id, 'RESOLVED', 'user:bob')
  t.match(resolved, { acknowledgedBy: 'user:anna', acknowledgedAt: resolved.timeline.at(-2)!.at, resolvedBy: 'user:bob', resolvedAt: resolved.timeline.at(-1)!.at })
  t.match(resolved.timeline.slice(-2), [{ actor: 'user:anna', what: 'acknowledged' }, { actor: 'user:bob', what: 'resolved' }])
  t.match(room!.audited.slice(-2), [{ type: 'incident.acknowledged', actor: 'user:anna' }, { type: 'incident.resolved', actor: 'user:bob' }])
  await t.rejects(incidents.setStatus(first!.id, 'ACKNOWLEDGED', 'user:anna'), { code: 'NEKO_ERR_INPUT_INVALID' })
  room!.playbooks.forget('ip:192.0.2.1')
  room!.playbooks.respond(detection({ score: 95 }))
  await room!.settled()
  t.equal(await incidents.count('OPEN'), 1)
  t.equal(await incidents.count(null), 2)
})

t.test('who acknowledged an incident stays known, however many runs join it afterwards', async (t) => {
  const { rooms: [room], clock } = await openPlaybooks(t)
  const { incidents } = room!
  room!.playbooks.respond(detection({ score: 95 }))
  await room!.settled()
  const { items: [opened] } = await incidents.list('OPEN', { first: 10, after: null })
  t.match(opened, { acknowledgedBy: null, acknowledgedAt: null, resolvedBy: null, resolvedAt: null })
  const { acknowledgedAt } = await incidents.setStatus(opened!.id, 'ACKNOWLEDGED', 'user:anna')
  for (let i = 0; i < 203; i++) {
    clock.advance(61_000)
    room!.playbooks.respond(detection({ score: 95 }))
    if (i % 10 === 0) await room!.settled()
  }
  await room!.settled()
  const incident = await incidents.get(opened!.id)
  t.match(incident, { status: 'ACKNOWLEDGED', count: 204, acknowledgedBy: 'user:anna', acknowledgedAt })
  t.equal(incident!.timeline.length, 200)
  t.match(incident!.timeline[0], { actor: 'user:anna', what: 'acknowledged', at: acknowledgedAt }, 'also in its story')
})

t.test('overrides change what they name; a file that is wrong is refused with the variable', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'neko-playbooks-'))
  t.teardown(() => rmSync(dataDir, { recursive: true }))
  const write = (value: unknown): void => writeFileSync(join(dataDir, 'playbooks.json'), typeof value === 'string' ? value : JSON.stringify(value))
  t.equal((await loadPlaybooks(dataDir)).length, 8)
  write([{ name: 'CRITICAL_THREAT_RESPONSE', when: { scoreAtLeast: 95 }, windowSeconds: 30 }])
  t.match((await loadPlaybooks(dataDir))[0], { when: { scoreAtLeast: 95 }, windowSeconds: 30, opensIncident: true })
  for (const bad of ['{', {}, [{ name: 'X' }], [{ name: 'STANDARD_MONITORING', steps: [{ do: 'reboot' }] }], [{ name: 'STANDARD_MONITORING', when: {} }], [{ name: 'STANDARD_MONITORING' }, { name: 'STANDARD_MONITORING' }]]) {
    write(bad)
    await t.rejects(loadPlaybooks(dataDir), { name: 'ConfigError', variable: 'DATA_DIR' } as unknown as Error, JSON.stringify(bad))
  }
})

t.test('a condition that is false is refused where it stands: it would hold for every request', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'neko-playbooks-'))
  t.teardown(() => rmSync(dataDir, { recursive: true }))
  const write = (value: unknown): void => writeFileSync(join(dataDir, 'playbooks.json'), JSON.stringify(value))
  for (const name of ['challengingScore', 'blockingScore', 'certainEvidence', 'decoy', 'automation', 'anomaly', 'limitViolation']) {
    write([{ name: 'HONEYPOT_CAPTURE', when: { [name]: false } }])
    await t.rejects(loadPlaybooks(dataDir), { variable: 'DATA_DIR', message: new RegExp(`/0/when/${name}: Expected true`) } as unknown as Error, name)
    write([{ name: 'HONEYPOT_CAPTURE', when: { [name]: true } }])
    t.match((await loadPlaybooks(dataDir)).find((one) => one.name === 'HONEYPOT_CAPTURE'), { when: { [name]: true } })
  }
  write([{ name: 'HONEYPOT_CAPTURE', steps: [{ do: 'block', ttlSeconds: 60, when: { blockingScore: false } }] }])
  await t.rejects(loadPlaybooks(dataDir), { message: /\/0\/steps\/0/ } as unknown as Error, 'also in a step')
})
