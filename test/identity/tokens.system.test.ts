import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { createTokens, kidOfSecret } from '../../src/identity/tokens.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { scaled } from '../scale.ts'
import { openRoom, SECRET } from './room.ts'
import { createForge, USER } from './token-forge.ts'

const clock = createTestClock()
const now = Math.floor(clock.now() / 1000)
const { CLAIMS, good, rsaPem, rsaJwk, forge, vectors } = createForge(now)

t.test('our own token holds, also from a clock that is up to 60 s ahead', (t) => {
  const tokens = createTokens({ secrets: [SECRET], expirationSeconds: 900, clock })
  const { token } = tokens.issue({ userId: USER, sessionId: CLAIMS.sid, generation: 1 })
  t.equal(token, good, 'the forge of this test makes what the room makes')
  t.match(tokens.verify(token), { held: true, claims: { userId: USER, generation: 1, expiresAt: (now + 900) * 1000 } })
  t.match(tokens.verify(forge({ claims: { ...CLAIMS, iat: now + 60, nbf: now + 60 } })), { held: true })
  t.end()
})

t.test('every malformed or forged token is refused, and nobody is called', async (t) => {
  let calls = 0
  const server = createServer((_request, response) => { calls++; response.end('{}') })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => server.close())
  const { identity } = await openRoom(t, { clock })
  const table = vectors(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  for (const [name, token] of Object.entries(table)) {
    const credential = identity.authenticate({ authorization: `Bearer ${token}` })
    t.notOk(credential instanceof Promise, `${name}: at once`)
    t.match(await credential, { state: 'refused' }, name)
  }
  t.equal(calls, 0)
  t.comment(`${Object.keys(table).length} vectors, ${calls} calls`)
})

t.test('no change of a good token is accepted, and none throws', (t) => {
  const tokens = createTokens({ secrets: [SECRET], expirationSeconds: 900, clock })
  const refused = (token: string): boolean => !tokens.verify(token).held
  const position = fc.nat(good.length - 1)
  fc.assert(fc.property(position, fc.string({ minLength: 0, maxLength: 3, unit: 'binary' }), (at, text) => {
    const token = good.slice(0, at) + text + good.slice(at + 1)
    return token === good || refused(token)
  }), { numRuns: scaled(2_000, 4_000) })
  fc.assert(fc.property(fc.string({ maxLength: 5_000, unit: 'binary' }), refused), { numRuns: scaled(1_000, 2_000) })
  // Signed by the right secret: whatever JSON stands in it.
  fc.assert(fc.property(fc.json(), fc.json(), (header, claims) => refused(forge({ header, claims }))), { numRuns: scaled(1_000, 2_000) })
  fc.assert(fc.property(fc.constantFrom(...Object.keys(CLAIMS)), fc.jsonValue(), (name, value) => {
    const claims = { ...CLAIMS, [name]: value }
    const { held } = tokens.verify(forge({ claims }))
    return !held || typeof value === typeof CLAIMS[name as keyof typeof CLAIMS]
  }), { numRuns: scaled(1_000, 2_000) })
  t.end()
})

t.test('several secrets: the first signs, all verify, one that is taken away is refused', (t) => {
  const other = 'R2-nV8eL5oX3qB7yT1wJ9kM4hF6dS0gZa'
  const tokens = createTokens({ secrets: [SECRET], expirationSeconds: 900, clock })
  const { token } = tokens.issue({ userId: USER, sessionId: CLAIMS.sid, generation: 1 })
  tokens.setSecrets([other, SECRET])
  t.equal(tokens.kid, kidOfSecret(other))
  t.match(tokens.verify(token), { held: true })
  t.match(tokens.verify(tokens.issue({ userId: USER, sessionId: CLAIMS.sid, generation: 1 }).token), { held: true })
  t.match(tokens.verify(forge({ secret: other })), { held: false }, 'the right secret under the kid of another')
  tokens.setSecrets([other])
  t.match(tokens.verify(token), { held: false, reason: 'kid' })
  for (const secrets of [[], [''], Array.from({ length: 9 }, (_, i) => `secret ${i}`)]) t.throws(() => tokens.setSecrets(secrets))
  t.end()
})

t.test('a secret that looks like a public key is a secret all the same', (t) => {
  const tokens = createTokens({ secrets: [rsaPem, JSON.stringify(rsaJwk)], expirationSeconds: 900, clock })
  t.match(tokens.verify(tokens.issue({ userId: USER, sessionId: CLAIMS.sid, generation: 1 }).token), { held: true })
  t.end()
})
