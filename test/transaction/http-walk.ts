import { request } from 'node:http'
import type { Test } from 'tap'
import type { Detection } from '../../src/playbooks/shapes.ts'
import type { Transaction } from '../../src/transaction/transaction.ts'
import { replace, spyOn } from './app.ts'
import { ATTACK, BENIGN, newAddress, newHolder, post, receiptOf, type Door } from './doors.ts'

/** What only HTTP can show of the walk: bodies, credentials that do not hold, and decoys that answer slowly. */
export async function httpWalk (t: Test, http: Door): Promise<void> {
  const { at } = http
  const { app, clock } = at
  t.beforeEach(() => { clock.advance(7_200_000) })
  /** With a key that was changed by one character, or whatever stands there. */
  const withKey = async (address: string, key: string): Promise<{ id: string, code: string | null }> => {
    const { principal } = await newHolder(app)
    return await http.ask({ address, holder: { key, principal } })
  }
  const brokenKey = async (): Promise<string> => {
    const { key } = await newHolder(app)
    return key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A')
  }

  await t.test('a body over the bound is refused with 413, and its receipt names what was not read', async (t) => {
    const came = await http.ask({ address: newAddress(), query: `${BENIGN} # ${'a '.repeat(40_000)}` })
    t.equal(came.code, 'NEKO_ERR_BODY_TOO_LARGE')
    const receipt = await receiptOf(http, came)
    t.match(receipt, { status: 413, action: 'BLOCK', source: 'inline' })
    t.strictSame(receipt.notInspected, ['body: what follows the first 65536 bytes'])
  })

  await t.test('a body over the bound that nobody announced is scored as far as it was read', async (t) => {
    const body = `q=${encodeURIComponent(ATTACK.variables.q)}&pad=${'a'.repeat(80_000)}`
    const type = ['Content-Type', 'application/x-www-form-urlencoded', 'Transfer-Encoding', 'chunked']
    const headers = ['Host', 'neko.example', 'X-Forwarded-For', newAddress(), ...type]
    const answer = await post(at.port, { headers, body })
    t.match(answer.errors, [{ extensions: { code: 'NEKO_ERR_BLOCKED' } }], 'its score comes before its length')
    t.equal(answer.status, 403)
  })

  await t.test('a credential that does not hold is scored, answered 401, and counted on its address', async (t) => {
    const address = newAddress()
    const came = await withKey(address, await brokenKey())
    t.equal(came.code, 'NEKO_ERR_UNAUTHENTICATED')
    t.match(await receiptOf(http, came), { status: 401, action: 'ALLOW', source: 'inline', client: `ip:${address}` })
    const next = await receiptOf(http, await http.ask({ address }))
    t.equal(next.observation?.history?.['badTokens600s'], 1)
  })

  await t.test('an attack beside a credential that does not hold is refused for its score', async (t) => {
    const { principal } = await newHolder(app)
    const holder = { key: await brokenKey(), principal }
    const came = await http.ask({ address: newAddress(), holder, ...ATTACK })
    t.equal(came.code, 'NEKO_ERR_BLOCKED')
    t.match(await receiptOf(http, came), { status: 403, action: 'BLOCK' })
  })

  await t.test('a blocked caller whose credential does not hold is refused, and history learns of the credential',
    async (t) => {
      const address = newAddress()
      const settled = spyOn(t, app.clients, 'settle')
      const input = { scope: 'IP', value: address, action: 'BLOCK', ttlSeconds: 600, reason: 'contract' } as const
      await app.decisions.add(input, { origin: 'user:contract' })
      t.equal((await withKey(address, await brokenKey())).code, 'NEKO_ERR_BLOCKED')
      t.match(settled, [[{ badToken: true, action: 'ALLOW', status: 403 }]])
    })

  await t.test('an address with too many refused credentials is refused before any cryptography', async (t) => {
    const address = newAddress()
    const key = await brokenKey()
    const { principal } = await newHolder(app)
    const { max } = app.limits.rate('standard')
    for (let i = 0; i < max; i++) await app.limits.takeNamed('standard', 'failed', `ip:${address}`)
    const authenticated = spyOn(t, app.identity, 'authenticate')
    const came = await http.ask({ address, holder: { key, principal } })
    t.equal(came.code, 'NEKO_ERR_LIMIT_EXCEEDED')
    t.strictSame(authenticated, [])
    t.match(await receiptOf(http, came), { status: 429, source: 'limit' })
    t.equal((await http.ask({ address })).code, null, 'who shows none is not concerned')
  })

  await t.test('playbooks hear of a decoy before it answers, and once', async (t) => {
    const address = newAddress()
    const told: Detection[] = []
    const heard = Promise.withResolvers<void>()
    replace(t, app.playbooks, 'respond', (detection) => {
      told.push(detection)
      heard.resolve()
      return []
    })
    const settled = Promise.withResolvers<Transaction>()
    const settle = app.walk.settle
    replace(t, app.walk, 'settle', (transaction, outcome) => {
      settle(transaction, outcome)
      settled.resolve(transaction)
    })
    const sent = request({ host: '127.0.0.1', port: at.port, path: '/.env', headers: { 'x-forwarded-for': address } })
    let isAnswered = false
    sent.once('response', () => { isAnswered = true }).end()
    await heard.promise
    t.notOk(isAnswered, 'it holds its answer')
    // It leaves before the bait is there.
    sent.on('error', () => { /* the reset is ours */ }).destroy()
    const { id } = await settled.promise
    t.match(told, [{ assessmentId: id, decoy: true, refused: false, path: '/.env' }])
    t.equal(told.length, 1)
    t.equal((await receiptOf(http, { id })).route, null, 'judged as if nothing stood there')
  })

  await t.test('refusals carry the receipt, what is left of the limit, and Retry-After', async (t) => {
    const address = newAddress()
    const body = JSON.stringify({ query: BENIGN })
    const headers = ['Host', 'a', 'X-Forwarded-For', address, 'Content-Type', 'application/json']
    const whole = [...headers, 'Content-Length', String(body.length)]
    const passed = await post(at.port, { headers: whole, body })
    t.match(passed, { status: 200, headers: { 'x-ratelimit-limit': '100', 'x-ratelimit-remaining': '99' } })
    app.limits.block('standard', `ip:${address}`, 30_000)
    const refused = await post(at.port, { headers: whole, body })
    t.match(refused, { status: 429, headers: { 'retry-after': '30', 'x-ratelimit-remaining': '0' } })
    t.match(refused.errors, [{ extensions: { assessment: refused.id, retryAfterSeconds: 30 } }])
  })
}
