import type { Test } from 'tap'
import type { Decision, DecisionInput } from '../../src/decisions/shapes.ts'
import type { Detection } from '../../src/playbooks/shapes.ts'
import { processOfReceipt } from '../../src/std/id.ts'
import { PROCESS_ID, replace, spyOn } from './app.ts'
import { ATTACK, newAddress, newHolder, receiptOf, SUSPECT, type Came, type Door } from './doors.ts'

/**
 * What every door of the walk does, run on each of them. Where the authority makes the difference, both halves stand
 * beside each other: a caller is refused, a sample is advised on.
 */
export async function walkContract (t: Test, door: Door): Promise<void> {
  const { app, clock } = door.at
  const isCaller = door.authority === 'caller'
  t.beforeEach(() => {
    // Nothing that an earlier clause did is within an hour of this one.
    clock.advance(7_200_000)
    door.at.takeLines()
  })

  const decide = (decision: Pick<DecisionInput, 'scope' | 'value' | 'action'>): Promise<Decision> =>
    app.decisions.add({ ...decision, ttlSeconds: 600, reason: 'contract' }, { origin: 'user:contract' })
  const block = (address: string): Promise<Decision> => decide({ scope: 'IP', value: address, action: 'BLOCK' })
  /** What playbooks are told of one transaction. */
  const toldOf = (calls: unknown[][], { id }: Came): Detection[] =>
    calls.map(([detection]) => detection as Detection).filter(({ assessmentId }) => assessmentId === id)
  const counted = async (kind: string): Promise<number> => {
    const { values } = await app.metrics.assessmentsTotal.get()
    return values.find(({ labels: { action, source } }) => `${action} ${source}` === kind)?.value ?? 0
  }
  const messages = (): unknown[] => door.at.takeLines().filter(({ level }) => level === 'error').map(({ msg }) => msg)

  await t.test('a transaction leaves one receipt, with an id of its own series', async (t) => {
    const added: string[] = []
    t.teardown(app.receipts.onAdded((_receipt, describe) => { added.push(describe().id) }))
    const address = newAddress()
    const came = await door.ask({ address })
    t.strictSame(added, [came.id])
    t.match(came.id, door.series)
    t.equal(processOfReceipt(came.id), PROCESS_ID)
    const receipt = await receiptOf(door, came)
    t.match(receipt, { id: came.id, client: `ip:${address}`, address, method: 'POST', path: '/graphql' })
    t.match(receipt, { action: 'ALLOW', source: 'inline', external: !isCaller, status: isCaller ? 200 : 0 })
    t.equal(came.code, null)
  })

  await t.test(`an attack is BLOCK, and ${isCaller ? 'refused' : 'only advised on'}`, async (t) => {
    const came = await door.ask({ address: newAddress(), ...ATTACK })
    const receipt = await receiptOf(door, came)
    t.match(receipt, { action: 'BLOCK', simulated: false, grade: 'certain', status: isCaller ? 403 : 0 })
    t.equal(came.code, isCaller ? 'NEKO_ERR_BLOCKED' : null)
  })

  await t.test('the history of a client learns of a request that its score refused', async (t) => {
    const address = newAddress()
    t.equal(app.clients.refusals(`ip:${address}`), 0)
    await door.ask({ address, ...ATTACK })
    t.equal(app.clients.refusals(`ip:${address}`), 1)
  })

  await t.test('a standing block of an address is BLOCK whatever the request is', async (t) => {
    const address = newAddress()
    const { id } = await block(address)
    const scored = spyOn(t, app.threads, 'ask')
    const taken = spyOn(t, app.limits, 'take')
    const came = await door.ask({ address })
    const receipt = await receiptOf(door, came)
    t.equal(receipt.action, 'BLOCK')
    t.equal(taken.length, 0, 'no limit point')
    t.equal(app.limits.peek('standard', `ip:${address}`).count, 0)
    if (isCaller) {
      t.equal(came.code, 'NEKO_ERR_BLOCKED')
      t.match(receipt, { source: 'decision', decisionId: id, status: 403, score: 0 })
      t.equal(scored.length, 0, 'no scoring')
    } else {
      t.equal(came.code, null)
      t.equal(receipt.source, 'inline', 'a sample is scored all the same')
    }
  })

  await t.test('a block that is only simulated refuses nobody', async (t) => {
    const address = newAddress()
    const origin = { origin: 'playbook:CONTRACT', simulated: true } as const
    const input = { scope: 'IP', value: address, action: 'BLOCK', ttlSeconds: 600, reason: 'contract' } as const
    t.match(app.decisions.addNow(input, origin), { simulated: true })
    const came = await door.ask({ address })
    t.equal(came.code, null)
    t.equal((await receiptOf(door, came)).action, 'ALLOW')
  })

  await t.test('a challenge marks a request, lets it pass, and stays in the history of its client', async (t) => {
    const address = newAddress()
    const came = await door.ask({ address, ...SUSPECT })
    t.equal(came.code, null)
    t.equal((await receiptOf(door, came)).action, 'CHALLENGE')
    const next = await receiptOf(door, await door.ask({ address }))
    t.equal(next.observation?.history?.['challenged600s'], 1)
  })

  await t.test(isCaller
    ? 'the third challenge holds a caller to the strict rate'
    : 'challenges of samples hold nobody', async (t) => {
    const address = newAddress()
    await decide({ scope: 'IP', value: address, action: 'CHALLENGE' })
    for (const isHeld of [false, false, isCaller]) {
      const came = await door.ask({ address })
      t.equal((await receiptOf(door, came)).action, 'CHALLENGE')
      t.equal(app.limits.isHeld(`ip:${address}`), isHeld)
    }
  })

  await t.test('playbooks hear of an attack once, and whom to act against', async (t) => {
    const told = spyOn(t, app.playbooks, respondOf(door))
    const address = newAddress()
    const came = await door.ask({ address, ...ATTACK })
    const detections = toldOf(told, came)
    t.equal(detections.length, 1)
    const attacker = { scope: 'IP', value: address }
    t.match(detections[0], { attacker, action: 'BLOCK', refused: true, refusals600s: 1, crossed: null })
    t.match(detections[0], { grade: 'certain', factor: 'payload', path: '/graphql' })
  })

  await t.test('playbooks hear nothing of an ordinary request', async (t) => {
    const told = spyOn(t, app.playbooks, respondOf(door))
    await door.ask({ address: newAddress() })
    t.strictSame(told, [])
  })

  await t.test('a decoy beside real fields is captured, and its request is not refused', async (t) => {
    const told = spyOn(t, app.playbooks, respondOf(door))
    const came = await door.ask({ address: newAddress(), query: '{ health { status } adminUsers }' })
    t.match(toldOf(told, came), [{ decoy: true, refused: false }])
    t.not(came.code, 'NEKO_ERR_BLOCKED')
  })

  await t.test('a document of nothing but decoys is captured and not refused, whatever its score', async (t) => {
    const told = spyOn(t, app.playbooks, respondOf(door))
    const came = await door.ask({ address: newAddress(), query: '{ adminUsers }', variables: ATTACK.variables })
    t.equal(came.code, null)
    t.equal((await receiptOf(door, came)).action, 'BLOCK')
    t.match(toldOf(told, came), [{ decoy: true, refused: false }])
  })

  await t.test('an attack beside a decoy and real fields is no capture that answers', async (t) => {
    const query = 'query ($q: String) { adminUsers threatActors(search: $q) { totalCount } }'
    const came = await door.ask({ address: newAddress(), query, variables: ATTACK.variables })
    t.equal(came.code, isCaller ? 'NEKO_ERR_BLOCKED' : null)
    t.equal((await receiptOf(door, came)).action, 'BLOCK')
  })

  await t.test(isCaller
    ? 'an allow of the key lifts the block of its address'
    : 'a credential among the headers of a sample is read by nobody, and lifts no block', async (t) => {
    const holder = await newHolder(app)
    const address = newAddress()
    await block(address)
    const authenticated = spyOn(t, app.identity, 'authenticate')
    t.equal((await receiptOf(door, await door.ask({ address, holder }))).action, 'BLOCK', 'not without it')
    await decide({ scope: 'KEY', value: holder.principal.id, action: 'ALLOW' })
    const came = await door.ask({ address, holder })
    const receipt = await receiptOf(door, came)
    t.equal(came.code, null)
    t.equal(receipt.action, isCaller ? 'ALLOW' : 'BLOCK')
    t.equal(receipt.client, isCaller ? holder.principal.clientKey : `ip:${address}`)
    if (!isCaller) t.equal(authenticated.length, 0)
  })

  await t.test(isCaller
    ? 'a limit that is used up refuses, and says how long to wait'
    : 'limits are no concern of a sample', async (t) => {
    const address = newAddress()
    app.limits.block('standard', `ip:${address}`, 60_000)
    const scored = spyOn(t, app.threads, 'ask')
    const came = await door.ask({ address })
    const receipt = await receiptOf(door, came)
    t.equal(came.code, isCaller ? 'NEKO_ERR_LIMIT_EXCEEDED' : null)
    t.equal(came.retryAfterSeconds, isCaller ? 60 : null)
    if (isCaller) t.match(receipt, { source: 'limit', action: 'BLOCK', status: 429 })
    else t.match(receipt, { source: 'inline', action: 'ALLOW' })
    t.equal(scored.length, isCaller ? 0 : 1)
  })

  await t.test(`a process that is too busy ${isCaller ? 'refuses before it scores' : 'takes samples'}`, async (t) => {
    replace(t, app, 'isOverloaded', () => true)
    const scored = spyOn(t, app.threads, 'ask')
    const came = await door.ask({ address: newAddress() })
    t.equal(came.code, isCaller ? 'NEKO_ERR_OVERLOADED' : null)
    t.equal(came.retryAfterSeconds, isCaller ? 1 : null)
    t.equal(scored.length, isCaller ? 0 : 1)
  })

  await t.test('receipts that fail do not fail the transaction, nor the next one', async (t) => {
    const fault = (): never => { throw new Error('injected') }
    replace(t, app.receipts, 'record', fault)
    replace(t, app.receipts, 'recordSample', fault)
    const address = newAddress()
    if (isCaller) {
      t.equal((await door.ask({ address })).code, null)
      t.equal((await door.ask({ address, ...ATTACK })).code, 'NEKO_ERR_BLOCKED')
    } else for (const asked of [{}, ATTACK]) await t.rejects(door.ask({ address, ...asked }), /left no receipt/)
    t.strictSame(messages(), ['a request could not be settled in full', 'a request could not be settled in full'])
  })

  await t.test('playbooks that fail do not fail the transaction, whose receipt is kept', async (t) => {
    replace(t, app.playbooks, respondOf(door), () => { throw new Error('injected') })
    const came = await door.ask({ address: newAddress(), ...ATTACK })
    t.equal((await receiptOf(door, came)).action, 'BLOCK')
    t.strictSame(messages(), ['a request could not be settled in full'])
  })

  await t.test(isCaller
    ? 'assessments are counted by their action and what it came from'
    : 'a sample is no request of ours, and counted as none', async (t) => {
    const kinds = ['ALLOW inline', 'CHALLENGE inline', 'BLOCK inline', 'BLOCK decision', 'BLOCK limit']
    const count = (): Promise<number[]> => Promise.all(kinds.map(counted))
    const before = await count()
    const blocked = newAddress()
    await block(blocked)
    const limited = newAddress()
    app.limits.block('standard', `ip:${limited}`, 60_000)
    await door.ask({ address: newAddress() })
    await door.ask({ address: newAddress(), ...SUSPECT })
    await door.ask({ address: newAddress(), ...ATTACK })
    await door.ask({ address: blocked })
    await door.ask({ address: limited })
    const share = isCaller ? 1 : 0
    t.strictSame((await count()).map((now, i) => now - before[i]!), kinds.map(() => share))
  })
}

/** By which of their calls playbooks hear of this door's transactions. */
function respondOf ({ authority }: Door): 'respond' | 'respondToSample' {
  return authority === 'caller' ? 'respond' : 'respondToSample'
}

/** What ENFORCEMENT=shadow changes: every verdict is worked out and kept, and nobody is refused because of one. */
export async function shadowContract (t: Test, door: Door): Promise<void> {
  const { app, clock } = door.at
  t.beforeEach(() => { clock.advance(7_200_000) })

  await t.test('an attack is BLOCK in shadow, refused to nobody, and playbooks are told so', async (t) => {
    const told = spyOn(t, app.playbooks, respondOf(door))
    const address = newAddress()
    const came = await door.ask({ address, ...ATTACK })
    t.equal(came.code, null)
    t.match(await receiptOf(door, came), { action: 'BLOCK', simulated: true })
    t.match(told, [[{ assessmentId: came.id, simulated: true, refused: true }]])
    t.equal((await receiptOf(door, await door.ask({ address }))).action, 'ALLOW', 'the block it made is simulated')
  })

  await t.test('challenges hold nobody in shadow', async (t) => {
    const address = newAddress()
    const input = { scope: 'IP', value: address, action: 'CHALLENGE', ttlSeconds: 600, reason: 'contract' } as const
    await app.decisions.add(input, { origin: 'user:contract' })
    for (let i = 0; i < 3; i++) t.equal((await receiptOf(door, await door.ask({ address }))).action, 'CHALLENGE')
    t.notOk(app.limits.isHeld(`ip:${address}`))
  })
}
