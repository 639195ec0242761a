import type { Test } from 'tap'
import type { Answer } from '../../src/threads/shapes.ts'
import type { Detection } from '../../src/playbooks/shapes.ts'
import { NO_ROUTE } from '../../src/transaction/transaction.ts'
import { connect } from '../transports/websocket/client.ts'
import { replace, spyOn } from './app.ts'
import { ATTACK, BENIGN, newAddress, newHolder, PROBE, receiptOf, SUSPECT, type Door } from './doors.ts'

/**
 * What the walk of a WebSocket's operations got wrong while it was a copy: one test for each of the differences, every
 * one of which failed against that copy, and one real connection.
 */
export async function websocketWalk (t: Test, { http, websocket }: Record<'http' | 'websocket', Door>): Promise<void> {
  const { at } = websocket
  const { app, clock } = at
  t.beforeEach(() => {
    clock.advance(7_200_000)
    at.takeLines()
  })
  const block = async (address: string): Promise<void> => {
    const input = { scope: 'IP', value: address, action: 'BLOCK', ttlSeconds: 600, reason: 'contract' } as const
    await app.decisions.add(input, { origin: 'user:contract' })
  }
  const historyOf = async (door: Door, address: string): Promise<Record<string, number>> =>
    (await receiptOf(door, await door.ask({ address }))).observation?.history as Record<string, number>

  await t.test('an operation of a blocked caller takes no limit point', async (t) => {
    const address = newAddress()
    const counted = async (): Promise<unknown> => (await app.metrics.limitDecisionsTotal.get()).values
    const before = await counted()
    await block(address)
    for (let i = 0; i < 3; i++) t.equal((await websocket.ask({ address })).code, 'NEKO_ERR_BLOCKED')
    t.equal(app.limits.peek('standard', `ip:${address}`).count, 0)
    t.strictSame(await counted(), before, 'and no decision of a limit is counted')
  })

  await t.test('a failed probe counts as one, since history is told the factors', async (t) => {
    const address = newAddress()
    t.equal((await websocket.ask({ address, ...PROBE })).code, 'NEKO_ERR_INPUT_INVALID')
    t.equal((await historyOf(websocket, address))['probes3600s'], 1)
  })

  await t.test('a failed operation that holds nothing suspicious is no probe', async (t) => {
    const address = newAddress()
    await websocket.ask({ address, ...PROBE, variables: { q: 'a seat by the window' } })
    const history = await historyOf(websocket, address)
    t.equal(history['probes3600s'], 0)
    t.equal(history['clientErrors600s'], 1)
  })

  await t.test('history is told that a thing does not exist, though the status does not say so', async (t) => {
    const address = newAddress()
    const transaction = app.walk.begin({
      door: 'websocket',
      authority: 'caller',
      acts: true,
      address,
      neverBlockApplies: true,
      unnamedProxy: null,
      method: 'POST',
      target: '/graphql',
      headers: [],
      route: NO_ROUTE,
      shown: null,
      submitter: null,
      holder: null
    })
    await app.walk.admit(transaction)
    await app.walk.inspect(transaction, null)
    app.walk.settle(transaction, { status: 200, notFound: true })
    t.equal((await historyOf(websocket, address))['notFound600s'], 1)
  })

  await t.test('an overloaded process refuses with 503 before it scores', async (t) => {
    replace(t, app, 'isOverloaded', () => true)
    const scored = spyOn(t, app.threads, 'ask')
    const settled = spyOn(t, app.walk, 'settle')
    const came = await websocket.ask({ address: newAddress(), ...ATTACK })
    t.match(came, { code: 'NEKO_ERR_OVERLOADED', retryAfterSeconds: 1 })
    t.strictSame(scored, [])
    t.match(settled, [[{ score: null, refusedBy: null }, { status: 503 }]])
  })

  await t.test('lines about refusals by a standing decision: 20 a second over all doors, then how many are missing',
    async (t) => {
      const address = newAddress()
      // Between them others write theirs, such as the checkpoints of the audit trail.
      const takeRefusals = (): Array<Record<string, unknown>> => at.takeLines().filter(({ refusedBy }) => refusedBy === 'decision')
      await block(address)
      for (let i = 0; i < 15; i++) for (const door of [http, websocket]) await door.ask({ address })
      const lines = takeRefusals()
      t.equal(lines.length, 20)
      t.strictSame(lines.filter(({ unlogged }) => unlogged !== undefined), [])
      t.strictSame([...new Set(lines.map(({ msg }) => msg))].sort(), ['operation', 'request'])
      clock.advance(1_000)
      await websocket.ask({ address })
      t.match(takeRefusals(), [{ refusedBy: 'decision', unlogged: 10, msg: 'operation' }])
      await http.ask({ address })
      t.strictSame(takeRefusals().map(({ unlogged }) => unlogged), [undefined], 'said once')
    })

  await t.test('refusals by a score have no such bound', async (t) => {
    for (let i = 0; i < 25; i++) await websocket.ask({ address: newAddress(), ...ATTACK })
    t.equal(at.takeLines().filter(({ refusedBy }) => refusedBy === 'score').length, 25)
  })

  await t.test('what a score did not inspect is a list of its own for each transaction', async (t) => {
    const holder = await newHolder(app, ['read', 'assess'])
    const shared = Object.freeze(['body: said by the scorer']) as string[]
    const own = app.threads.ask
    replace(t, app.threads, 'ask', async (observation, ask): Promise<Answer> => {
      const answer = await own(observation, ask)
      return { ...answer, score: { ...answer.score, notInspected: shared } }
    })
    const query = 'mutation ($requests: [AssessRequest!]!) { assess(requests: $requests) { id } }'
    const variables = { requests: [{ method: 'GET', url: `/?q=${encodeURIComponent(ATTACK.variables.q)}` }] }
    for (const door of [websocket, http, websocket]) {
      const came = await door.ask({ address: newAddress(), holder, query, variables })
      t.equal(came.code, null)
      const { notInspected } = await receiptOf(door, came)
      t.match(notInspected, [/^body: said by the scorer$/, /^body: what others sent/])
      t.equal(notInspected.length, 2)
    }
    t.equal(shared.length, 1)
  })

  await t.test('a decoy beside real fields is captured', async (t) => {
    const captures = async (): Promise<number> => {
      const { values } = await app.metrics.playbookRunsTotal.get()
      return values.find(({ labels }) => labels.playbook === 'HONEYPOT_CAPTURE')?.value ?? 0
    }
    await app.playbooks.settled()
    const before = await captures()
    const told = spyOn(t, app.playbooks, 'respond')
    const came = await websocket.ask({ address: newAddress(), query: '{ health { status } internalTokens }' })
    t.match(told, [[{ assessmentId: came.id, decoy: true }]])
    await app.playbooks.settled()
    t.equal(await captures(), before + 1)
  })

  await t.test('a refusal by a standing decision teaches history nothing, at either door', async (t) => {
    for (const door of [http, websocket]) {
      const address = newAddress()
      await door.ask({ address })
      const settled = spyOn(t, app.clients, 'settle')
      await block(address)
      t.equal((await door.ask({ address, ...ATTACK })).code, 'NEKO_ERR_BLOCKED')
      t.strictSame(settled, [])
      t.equal(app.clients.refusals(`ip:${address}`), 0)
    }
  })

  await t.test('what an authorised `assess` carries is held against nobody who may hand it in', async (t) => {
    const query = 'mutation ($requests: [AssessRequest!]!) { assess(requests: $requests) { id } }'
    const variables = { requests: [{ method: 'GET', url: `/?q=${encodeURIComponent(ATTACK.variables.q)}` }] }
    for (const door of [http, websocket]) {
      const may = await newHolder(app, ['read', 'assess'])
      t.equal((await door.ask({ address: newAddress(), holder: may, query, variables })).code, null)
      const mayNot = await newHolder(app, ['read'])
      const asked = { address: newAddress(), holder: mayNot, query, variables }
      t.equal((await door.ask(asked)).code, 'NEKO_ERR_BLOCKED')
    }
  })

  await t.test('over a real connection an attack is answered by error, and its receipt says who asked', async (t) => {
    const address = newAddress()
    const peer = await (await connect(t, at, { headers: { 'x-forwarded-for': address } })).init()
    t.match(await peer.ask(BENIGN), { type: 'next', payload: { data: { health: { status: 'ok' } } } })
    const told: Detection[] = []
    replace(t, app.playbooks, 'respond', (detection) => { told.push(detection); return [] })
    const suspect = await peer.ask(SUSPECT.query, SUSPECT.variables)
    t.match(suspect, { type: 'next' })
    const { type, payload } = await peer.ask(ATTACK.query, ATTACK.variables)
    t.equal(type, 'error')
    t.match(payload, [{ message: 'This request was refused', extensions: { code: 'NEKO_ERR_BLOCKED' } }])
    const id = payload[0].extensions.assessment as string
    t.match(id, websocket.series)
    const receipt = await receiptOf(websocket, { id })
    t.match(receipt, { action: 'BLOCK', status: 403, client: `ip:${address}`, route: '/graphql' })
    t.match(told, [{ action: 'CHALLENGE' }, { assessmentId: id, action: 'BLOCK', refused: true }])
    await block(address)
    t.match(await peer.ask(BENIGN), { type: 'error', payload: [{ extensions: { code: 'NEKO_ERR_BLOCKED' } }] })
  })
}
