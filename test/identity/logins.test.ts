import t from 'tap'
import type { CountAttempt } from '../../src/identity/logins.ts'
import { ADDRESS, ADMIN_PASSWORD, codeOf, openRoom } from './room.ts'
import { withinBar } from '../bar.ts'

/** 10 tries per key, then none: the strict tier with its time standing still. */
function countTen (): { count: CountAttempt, keys: Map<string, number> } {
  const keys = new Map<string, number>()
  return {
    keys,
    async count (key) {
      const tries = (keys.get(key) ?? 0) + 1
      keys.set(key, tries)
      return { allowed: tries <= 10, retryAfterSeconds: tries <= 10 ? 0 : 300 }
    }
  }
}

t.test('R39: of 1,000 tries on one account at most 10 are judged, from one address or from many', async (t) => {
  const { count, keys } = countTen()
  const { identity, audit } = await openRoom(t, { countAttempt: count })
  const codes = new Map<string, number>()
  for (let i = 0; i < 1_000; i++) {
    const code = await codeOf(identity.login({ username: i % 2 === 0 ? 'admin' : 'ADMIN', password: `guess number ${i}`, address: i < 500 ? ADDRESS : `198.51.100.${i % 200}` }))
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  t.same(Object.fromEntries(codes), { NEKO_ERR_UNAUTHENTICATED: 10, NEKO_ERR_LIMIT_EXCEEDED: 990 })
  await t.rejects(identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS }), { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: 300 })
  t.notMatch([...keys.keys()].join(), /admin/i, 'names do not reach the limiter')
  t.notMatch(JSON.stringify(audit.events), /guess number/)
})

t.test('R39: of many accounts from one address at most 10 tries are judged; an IPv6 host is its /64', async (t) => {
  const { count } = countTen()
  const { identity } = await openRoom(t, { countAttempt: count })
  let judged = 0
  for (let i = 0; i < 30; i++) {
    if (await codeOf(identity.login({ username: `user${i}`, password: 'x', address: `2001:db8:0:1:0:0:0:${i.toString(16)}` })) === 'NEKO_ERR_UNAUTHENTICATED') judged++
  }
  t.equal(judged, 10)
})

t.test('R39: a stranger cannot lock an account for an address that it logged in from before', async (t) => {
  const { count } = countTen()
  const { identity, sibling } = await openRoom(t, { countAttempt: count })
  await identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
  for (let i = 0; i < 40; i++) await codeOf(identity.login({ username: 'admin', password: `guess number ${i}`, address: `198.51.100.${i}` }))
  const from = (address: string, password = ADMIN_PASSWORD): Promise<string> => codeOf(identity.login({ username: 'admin', password, address }))
  t.equal(await from('203.0.113.9'), 'NEKO_ERR_LIMIT_EXCEEDED', 'strangers share what is left of the account, whatever they know')
  t.ok((await identity.login({ username: 'Admin', password: ADMIN_PASSWORD, address: ADDRESS })).accessToken)
  const other = await sibling()
  t.ok((await other.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })).accessToken, 'another process, or a later start, knows it too')
  const codes = []
  for (let i = 0; i < 9; i++) codes.push(await from(ADDRESS, 'wrong'))
  t.same(codes, [...Array(7).fill('NEKO_ERR_UNAUTHENTICATED'), ...Array(2).fill('NEKO_ERR_LIMIT_EXCEEDED')], 'the known address has ten tries as any')
})

t.test('refreshes are counted too', async (t) => {
  const { count } = countTen()
  const { identity } = await openRoom(t, { countAttempt: count })
  const codes = []
  for (let i = 0; i < 12; i++) codes.push(await codeOf(identity.refresh({ refreshToken: `nekr_${i}`, address: ADDRESS })))
  t.same(codes.slice(9), ['NEKO_ERR_UNAUTHENTICATED', 'NEKO_ERR_LIMIT_EXCEEDED', 'NEKO_ERR_LIMIT_EXCEEDED'])
})

t.test('R39: known and unknown users take the same time (200 samples, medians within 10 %)', async (t) => {
  const { identity } = await openRoom(t)
  const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] }
  const sample = async (kind: 'known' | 'unknown', i: number): Promise<void> => {
    const startMs = performance.now()
    await codeOf(identity.login({ username: kind === 'known' ? 'admin' : `nobody${i}`, password: 'not the password', address: ADDRESS }))
    times[kind].push(performance.now() - startMs)
  }
  for (let i = 0; i < 5; i++) await sample('known', i)
  times.known = []
  // Interleaved, and in changing order, so that what else the machine does falls on both alike.
  for (let i = 0; i < 100; i++) {
    await sample(i % 2 === 0 ? 'known' : 'unknown', i)
    await sample(i % 2 === 0 ? 'unknown' : 'known', i)
  }
  const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number
  const [known, unknown] = [median(times.known), median(times.unknown)]
  const difference = Math.abs(known - unknown) / Math.max(known, unknown)
  withinBar(t, 'R39: difference of the medians', difference * 100, 10, '%')
  t.comment(`R39: known ${known.toFixed(1)} ms, unknown ${unknown.toFixed(1)} ms, difference ${(difference * 100).toFixed(1)} %`)
})
