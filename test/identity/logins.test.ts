import t from 'tap'
import type { Attempts } from '../../src/identity/login-tries.ts'
import { createKnownAddresses } from '../../src/identity/known-addresses.ts'
import type { Principal } from '../../src/identity/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { ADDRESS, ADMIN_PASSWORD, codeOf, openRoom } from './room.ts'
import { whileTimePasses } from '../time.ts'

/** 10 tries per key, 12 of strangers to an account, then none: the limits with their time standing still. */
function countTen (): { attempts: Attempts, keys: Map<string, number> } {
  const keys = new Map<string, number>()
  const answer = (key: string, tries: number): ReturnType<Attempts['peek']> => {
    const allowed = tries <= (key.startsWith('stranger') ? 12 : 10)
    return { allowed, retryAfterSeconds: allowed ? 0 : 300 }
  }
  return {
    keys,
    attempts: {
      async take (key) {
        const tries = (keys.get(key) ?? 0) + 1
        const answered = answer(key, tries)
        if (answered.allowed) keys.set(key, tries)
        return answered
      },
      peek: (key) => answer(key, (keys.get(key) ?? 0) + 1),
      giveBack: (key) => { keys.set(key, keys.get(key)! - 1) }
    }
  }
}

async function tally (tries: Array<Promise<string>>): Promise<Record<string, number>> {
  const codes = await Promise.all(tries)
  return Object.fromEntries([...new Set(codes)].map((code) => [code, codes.filter((one) => one === code).length]))
}

t.test('of 1,000 tries on one account at most 10 of an address are judged, and 12 of all strangers', async (t) => {
  const { attempts, keys } = countTen()
  const clock = createTestClock()
  const { identity, audit } = await openRoom(t, { attempts, clock })
  const guess = (i: number, address: string): Promise<string> => codeOf(identity.login({ username: i % 2 === 0 ? 'admin' : 'ADMIN', password: `guess number ${i}`, address }))
  const fromOne: string[] = []
  for (let i = 0; i < 500; i++) fromOne.push(await guess(i, ADDRESS))
  t.same(await tally(fromOne.map(async (code) => code)), { NEKO_ERR_UNAUTHENTICATED: 10, NEKO_ERR_LIMIT_EXCEEDED: 490 })
  const fromMany = tally(Array.from({ length: 500 }, (_, i) => guess(i, `198.51.100.${i % 200}`)))
  t.same(await whileTimePasses(clock, fromMany, 1_000), { NEKO_ERR_UNAUTHENTICATED: 2, NEKO_ERR_LIMIT_EXCEEDED: 498 })
  t.equal([...keys].filter(([key, tries]) => key.startsWith('login|ip:198') && tries > 0).length, 2, 'who waited in vain made no try')
  t.match(audit.events.filter(({ details }) => details?.['reason'] === 'limit').length, 490, 'nor an event')
  await t.rejects(identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS }), { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: 300 })
  t.notMatch([...keys.keys()].join(), /admin/i, 'names do not reach the limiter')
  t.notMatch(JSON.stringify(audit.events), /guess number/)
})

t.test('of many accounts from one address at most 10 tries are judged; an IPv6 host is its /64', async (t) => {
  const { attempts } = countTen()
  const { identity } = await openRoom(t, { attempts })
  let judged = 0
  for (let i = 0; i < 30; i++) {
    if (await codeOf(identity.login({ username: `user${i}`, password: 'x', address: `2001:db8:0:1:0:0:0:${i.toString(16)}` })) === 'NEKO_ERR_UNAUTHENTICATED') judged++
  }
  t.equal(judged, 10)
})

t.test('an address that signed in to the account before does not wait behind strangers, in any process', async (t) => {
  const { attempts } = countTen()
  const clock = createTestClock()
  const { identity, sibling } = await openRoom(t, { attempts, clock })
  await identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
  for (let i = 0; i < 11; i++) await codeOf(identity.login({ username: 'admin', password: `guess number ${i}`, address: `198.51.100.${i}` }))
  const from = (address: string, password = ADMIN_PASSWORD): Promise<string> => codeOf(identity.login({ username: 'admin', password, address }))
  const stranger = from('203.0.113.9')
  t.ok((await identity.login({ username: 'Admin', password: ADMIN_PASSWORD, address: ADDRESS })).accessToken)
  const other = await sibling()
  t.ok((await other.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })).accessToken, 'another process, or a later start, knows it too')
  const codes = []
  for (let i = 0; i < 9; i++) codes.push(await from(ADDRESS, 'wrong'))
  t.same(codes, [...Array(7).fill('NEKO_ERR_UNAUTHENTICATED'), ...Array(2).fill('NEKO_ERR_LIMIT_EXCEEDED')], 'the known address has ten tries as any')
  clock.advance(5_000)
  t.equal(await stranger, 'NEKO_ERR_LIMIT_EXCEEDED')
})

t.test('an address is known for thirty days, and the newest 64 of an account are', async (t) => {
  const clock = createTestClock()
  const { storage } = await openRoom(t, { clock })
  const known = createKnownAddresses({ storage, clock })
  const of = async (address: string): Promise<boolean> => await known.knows('us_1', address)
  await known.note('us_1', ADDRESS)
  t.same([await of(ADDRESS), await known.knows('us_2', ADDRESS), await known.knows(null, ADDRESS)], [true, false, false])
  clock.advance(30 * 86_400_000 - 1)
  t.equal(await of(ADDRESS), true)
  clock.advance(1)
  t.equal(await of(ADDRESS), false)
  for (let i = 0; i < 65; i++) await known.note('us_1', `192.0.2.${i}`)
  t.same([await of('192.0.2.0'), await of('192.0.2.1'), await of('192.0.2.64')], [false, true, true])
  await known.note('us_1', '2001:db8:0:1:0:0:0:1')
  t.same([await of('2001:db8:0:1:f:0:0:2'), await of('2001:db8:0:2:0:0:0:1')], [true, false], 'IPv6 by /64')
})

t.test('refreshes are counted too', async (t) => {
  const { attempts } = countTen()
  const { identity } = await openRoom(t, { attempts })
  const codes = []
  for (let i = 0; i < 12; i++) codes.push(await codeOf(identity.refresh({ refreshToken: `nekr_${i}`, address: ADDRESS })))
  t.same(codes.slice(9), ['NEKO_ERR_UNAUTHENTICATED', 'NEKO_ERR_LIMIT_EXCEEDED', 'NEKO_ERR_LIMIT_EXCEEDED'])
})

t.test('junk refreshes of an address take nothing from those whose family lives; those are counted by their session', async (t) => {
  const { attempts } = countTen()
  const { identity } = await openRoom(t, { attempts })
  const signIn = (): ReturnType<typeof identity.login> => identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
  const refresh = (refreshToken: string): Promise<string> => codeOf(identity.refresh({ refreshToken, address: ADDRESS }))
  const [mine, ended, other] = [await signIn(), await signIn(), await signIn()]
  const inFamily = (of: string, family: string): string => of.replace(/_[^_]+_([^_]+)$/, `_${family}_$1`)
  const junk = ['nekr_1', inFamily(mine.refreshToken, '0'.repeat(24)), `nekr_se_${'0'.repeat(20)}_${'0'.repeat(24)}_${'0'.repeat(40)}`, `${mine.refreshToken} `]
  await refresh(ended.refreshToken)
  t.equal(await refresh(ended.refreshToken), 'NEKO_ERR_UNAUTHENTICATED', 'an old token ends its family')
  const codes = []
  for (let i = 0; i < 12; i++) codes.push(await refresh(junk[i % junk.length]!))
  t.same(codes, [...Array(10).fill('NEKO_ERR_UNAUTHENTICATED'), ...Array(2).fill('NEKO_ERR_LIMIT_EXCEEDED')])
  t.equal(await refresh(ended.refreshToken), 'NEKO_ERR_LIMIT_EXCEEDED', 'of a family that ended')
  let { refreshToken } = mine
  for (let i = 0; i < 10; i++) ({ refreshToken } = await identity.refresh({ refreshToken, address: ADDRESS }))
  t.equal(await refresh(refreshToken), 'NEKO_ERR_LIMIT_EXCEEDED', 'its own limit')
  t.ok((await identity.refresh({ refreshToken: other.refreshToken, address: ADDRESS })).accessToken, 'and of nobody else')
})

t.test('wrong current passwords of one session leave the tries of another', async (t) => {
  const { attempts } = countTen()
  const { identity } = await openRoom(t, { attempts })
  const signIn = async (): Promise<Principal> => {
    const { accessToken } = await identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
    const credential = await identity.authenticateToken(accessToken)
    if (credential.state !== 'held') throw new Error('The token is good')
    return credential.principal
  }
  const [stolen, mine] = [await signIn(), await signIn()]
  const change = (by: Principal, currentPassword: string): Promise<string> => codeOf(identity.changePassword(by, { currentPassword, newPassword: 'another long password' }))
  const codes = []
  for (let i = 0; i < 12; i++) codes.push(await change(stolen, `guess number ${i}`))
  t.same(codes, [...Array(10).fill('NEKO_ERR_UNAUTHENTICATED'), ...Array(2).fill('NEKO_ERR_LIMIT_EXCEEDED')])
  t.equal(await change(stolen, ADMIN_PASSWORD), 'NEKO_ERR_LIMIT_EXCEEDED')
  await identity.changePassword(mine, { currentPassword: ADMIN_PASSWORD, newPassword: 'another long password' })
})
