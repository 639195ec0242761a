import fc from 'fast-check'
import t from 'tap'
import { createTokens } from '../../src/identity/tokens.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { threadMs, withinBar } from '../bar.ts'
import { openRoom, SECRET } from './room.ts'
import { createForge } from './token-forge.ts'

/** How long a token may take that does not hold; what becomes of it: tokens.system.test.ts. */
const clock = createTestClock()
const { good, vectors } = createForge(Math.floor(clock.now() / 1000))

t.test('every malformed or forged token is refused within 5 ms', async (t) => {
  const { identity } = await openRoom(t, { clock })
  let slowestMs = 0
  for (const token of Object.values(vectors('http://127.0.0.1:9'))) {
    const startMs = threadMs()
    const credential = identity.authenticate({ authorization: `Bearer ${token}` })
    slowestMs = Math.max(slowestMs, threadMs() - startMs)
    await credential
  }
  withinBar(t, 'the slowest refusal', slowestMs, 5)
})

t.test('no change of a good token takes over 50 ms', (t) => {
  const tokens = createTokens({ secrets: [SECRET], expirationSeconds: 900, clock })
  let slowestMs = 0
  const verify = (token: string): void => {
    const startMs = threadMs()
    tokens.verify(token)
    slowestMs = Math.max(slowestMs, threadMs() - startMs)
  }
  const changed = fc.tuple(fc.nat(good.length - 1), fc.string({ maxLength: 3, unit: 'binary' })).map(([at, text]) => good.slice(0, at) + text + good.slice(at + 1))
  fc.assert(fc.property(fc.oneof(changed, fc.string({ maxLength: 5_000, unit: 'binary' })), verify), { numRuns: 2_000 })
  withinBar(t, 'the slowest token', slowestMs, 50)
  t.end()
})
