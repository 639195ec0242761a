import type { Test } from 'tap'
import type { Score } from '../../src/detect/shapes.ts'
import type { Detection } from '../../src/playbooks/shapes.ts'
import type { Answer, Later } from '../../src/threads/shapes.ts'
import { replace, spyOn } from './app.ts'
import { observation } from '../detect/observations.ts'
import { ATTACK, newAddress, newHolder, receiptOf, type Door } from './doors.ts'

/**
 * What every door does with a request that has no verdict in time: one that its client withholds refuses, one that we
 * owe is made up for.
 */
export async function unjudgedContract (t: Test, door: Door, { isShadow }: { isShadow: boolean }): Promise<void> {
  const { app, clock } = door.at
  const isCaller = door.authority === 'caller'
  t.beforeEach(() => { clock.advance(7_200_000) })

  /** Threads that answer every request like this, with what they would have found. */
  const threadsThat = (t: Test, change: (answer: Answer) => Partial<Answer>): void => {
    const own = app.threads.ask
    replace(t, app.threads, 'ask', async (observation, ask) => {
      const answer = await own(observation, ask)
      return { ...answer, ...change(answer) }
    })
  }
  const inHurry = (score: Score, more: Partial<Score> = {}): Score =>
    ({ ...score, value: 3, grade: null, degraded: true, notInspected: ['body: scored in a hurry'], ...more })

  await t.test(isCaller && !isShadow
    ? 'a text that exhausts the threads is refused with 503, and its client is remembered for it'
    : 'a text that exhausts the threads is advised on as an attack', async (t) => {
    const told = spyOn(t, app.playbooks, 'respond') as unknown as Array<[Detection]>
    const own = app.threads.ask
    threadsThat(t, ({ score }) => ({ score: inHurry(score), unjudged: 'exhausts' }))
    const address = newAddress()
    const came = await door.ask({ address })
    const receipt = await receiptOf(door, came)
    t.match(receipt, { action: 'BLOCK', simulated: isShadow, degraded: true })
    t.equal(came.code, isCaller && !isShadow ? 'NEKO_ERR_REQUEST_UNJUDGED' : null)
    if (!isCaller) return
    if (!isShadow) t.match(receipt, { status: 503, simulated: false })
    t.equal(came.retryAfterSeconds, isShadow ? null : 60)
    for (let i = 0; i < 3; i++) await door.ask({ address })
    t.equal(app.decisions.forAddress(address, true), null, 'four are no reason for a standing block')
    await door.ask({ address })
    const decision = app.decisions.forAddress(address, true)
    t.match(decision, isShadow ? { simulated: true } : { action: 'BLOCK', origin: 'playbook:ACTIVE_ATTACK_DETECTED' })
    t.equal(Math.round(((decision?.expiresAt as number) - clock.now()) / 1000), 600)
    t.match(told.at(-1), [{ exhausts600s: 5 }])
    app.threads.ask = own
  })

  if (isCaller && !isShadow) {
    await t.test('who exhausted the threads twice is challenged, who did once is not', async (t) => {
      for (const [times, action] of [[1, 'ALLOW'], [2, 'CHALLENGE']] as const) {
        const own = app.threads.ask
        const address = newAddress()
        threadsThat(t, ({ score }) => ({ score: inHurry(score), unjudged: 'exhausts' }))
        for (let i = 0; i < times; i++) await door.ask({ address })
        app.threads.ask = own
        const receipt = await receiptOf(door, await door.ask({ address }))
        t.equal(receipt.action, action, `${times} times`)
        t.ok(receipt.factors[2]!.evidence.some(({ rule }) => rule === 'endpoint.exhausts'))
      }
    })

    await t.test('its own backlog refuses a request, is no violation and lengthens nothing', async (t) => {
      threadsThat(t, ({ score }) => ({ score: inHurry(score), unjudged: 'backlog' }))
      const address = newAddress()
      const told = spyOn(t, app.playbooks, 'respond')
      for (let i = 0; i < 5; i++) {
        const came = await door.ask({ address })
        t.match(came, { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: 1 })
        t.match(await receiptOf(door, came), { status: 429, action: 'BLOCK', degraded: true, notInspected: [/hurry/, /own requests/] })
      }
      t.strictSame(told, [])
      t.equal(app.clients.refusals(`ip:${address}`), 0)
      t.notOk(app.limits.isHeld(`ip:${address}`))
      t.equal(app.decisions.forAddress(address, true), null)
    })

    await t.test('a full line refuses with 503', async (t) => {
      threadsThat(t, ({ score }) => ({ score: inHurry(score), unjudged: 'full' }))
      const came = await door.ask({ address: newAddress() })
      t.match(came, { code: 'NEKO_ERR_OVERLOADED', retryAfterSeconds: 1 })
      t.equal((await receiptOf(door, came)).status, 503)
    })
  }

  if (isShadow || !isCaller) return

  await t.test('a request that is answered in a hurry passes, and playbooks act when its full score is a block', async (t) => {
    const told = spyOn(t, app.playbooks, 'respond') as unknown as Array<[Detection]>
    const later = Promise.withResolvers<Later>()
    let full: Score | null = null
    threadsThat(t, ({ score }) => {
      full = score
      return { score: inHurry(score), later: later.promise }
    })
    const address = newAddress()
    const came = await door.ask({ address, ...ATTACK })
    t.equal(came.code, null)
    t.match(await receiptOf(door, came), { action: 'ALLOW', degraded: true, notInspected: [/hurry/] })
    t.strictSame(told, [])
    later.resolve({ score: full, exhausts: false })
    await later.promise
    await new Promise(setImmediate)
    t.match(told, [[{ assessmentId: came.id, action: 'BLOCK', grade: 'certain', refused: true }]])
    t.equal(app.clients.refusals(`ip:${address}`), 1)
    t.match(app.decisions.forAddress(address, true), { action: 'BLOCK' })
  })

  await t.test('what others sent is not held against who hands it in, though it was answered in a hurry', async (t) => {
    const told = spyOn(t, app.playbooks, 'respond')
    threadsThat(t, ({ score }) => ({ score: inHurry(score), later: Promise.resolve({ score, exhausts: false }) }))
    const holder = await newHolder(app, ['read', 'assess'])
    const query = 'mutation ($requests: [AssessRequest!]!) { assess(requests: $requests) { id } }'
    const variables = { requests: [{ method: 'GET', url: `/?q=${encodeURIComponent(ATTACK.variables.q)}` }] }
    t.equal((await door.ask({ address: newAddress(), holder, query, variables })).code, null)
    await new Promise(setImmediate)
    t.strictSame(told, [])
    t.equal(app.clients.refusals(holder.principal.clientKey), 0)
  })

  await t.test('a text whose second try has not ended is refused like one that exhausts, and counted when it does', async (t) => {
    const later = Promise.withResolvers<Later>()
    threadsThat(t, ({ score }) => ({ score: inHurry(score), unjudged: 'unfinished', later: later.promise }))
    const address = newAddress()
    const came = await door.ask({ address })
    t.equal(came.code, 'NEKO_ERR_REQUEST_UNJUDGED')
    t.match(await receiptOf(door, came), { status: 503, notInspected: [/hurry/, /more thread time/] })
    t.equal(app.clients.peek(observationOf(address))?.exhausts600s, 0)
    later.resolve({ score: null, exhausts: true })
    await new Promise(setImmediate)
    t.equal(app.clients.peek(observationOf(address))?.exhausts600s, 1)
  })

  await t.test('a full score that is no block changes nothing afterwards', async (t) => {
    const told = spyOn(t, app.playbooks, 'respond')
    threadsThat(t, ({ score }) => ({ score: inHurry(score), later: Promise.resolve({ score, exhausts: false }) }))
    const address = newAddress()
    await door.ask({ address })
    await new Promise(setImmediate)
    t.strictSame(told, [])
    t.equal(app.clients.refusals(`ip:${address}`), 0)
  })

  await t.test('a text of which the threads died counts as one that exhausts, if only afterwards', async (t) => {
    threadsThat(t, ({ score }) => ({ score: inHurry(score), later: Promise.resolve({ score: null, exhausts: true }) }))
    const address = newAddress()
    for (let i = 0; i < 5; i++) {
      t.equal((await door.ask({ address })).code, null)
      await new Promise(setImmediate)
    }
    t.match(app.decisions.forAddress(address, true), { origin: 'playbook:ACTIVE_ATTACK_DETECTED' })
  })

  await t.test('a certain sign of the raw bytes refuses this request now, and makes no standing block', async (t) => {
    threadsThat(t, ({ score }) => ({ score: inHurry(score, { value: 95, grade: 'certain' }) }))
    const address = newAddress()
    for (let i = 0; i < 4; i++) t.equal((await door.ask({ address })).code, 'NEKO_ERR_BLOCKED')
    t.equal(app.decisions.forAddress(address, true), null)
    t.equal(app.clients.refusals(`ip:${address}`), 0)
  })
}

const observationOf = (address: string): ReturnType<typeof observation> => observation({ client: `ip:${address}` })
