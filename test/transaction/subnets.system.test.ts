import t from 'tap'
import type { Decision } from '../../src/decisions/shapes.ts'
import { openApp } from './app.ts'
import { ATTACK, openDoors, type Door } from './doors.ts'

/** Attackers of one IPv6 /64: the address first, the /64 with the second address, and the way back in from either. */
t.test('an attacker of IPv6 is his address, and his /64 only when a second address of it attacks', async (t) => {
  const at = await openApp(t)
  const [http, ws] = openDoors(t, at) as [Door, Door]
  const standing = async (): Promise<Decision[]> => (await at.app.decisions.list({}, { first: 100, after: null })).items.toSorted((a, b) => a.scope.localeCompare(b.scope))
  const codes = async (...addresses: string[]): Promise<Array<string | null>> => {
    const found: Array<string | null> = []
    for (const address of addresses) found.push((await http.ask({ address })).code)
    return found
  }
  let subnet = 0
  for (const second of [http, ws]) {
    for (const removed of ['first', 'range'] as const) {
      at.clock.advance(7_200_000)
      const of = (host: string, net = subnet): string => `2001:db8:7:${net.toString(16)}:${host}`
      const [first, other, neighbour] = [of('0:0:0:1'), of('ffff:0:0:2'), of('1:2:3:4')]
      t.equal((await http.ask({ address: first, ...ATTACK })).code, 'NEKO_ERR_BLOCKED')
      await http.ask({ address: first, ...ATTACK })
      t.strictSame(await codes(first, neighbour), ['NEKO_ERR_BLOCKED', null], 'the neighbour is not blocked for it')
      await second.ask({ address: other, ...ATTACK })
      const stranger = of('0:0:0:1', subnet + 1000)
      t.strictSame(await codes(first, other, neighbour, stranger), ['NEKO_ERR_BLOCKED', 'NEKO_ERR_BLOCKED', 'NEKO_ERR_BLOCKED', null])
      await at.app.decisions.settled()
      const [one, all] = await standing() as [Decision, Decision]
      t.match([one, all], [{ scope: 'IP', value: first }, { scope: 'RANGE', value: of('0:0:0:0/64') }])
      await at.app.decisions.remove(removed === 'first' ? one.id : all.id, 'user:anna')
      await at.app.decisions.settled()
      t.strictSame(await codes(first, other, neighbour), [null, null, null], `${removed} is let back in, and so is all of it`)
      t.strictSame(await standing(), [])
      await second.ask({ address: neighbour, ...ATTACK })
      t.match([await at.app.decisions.get(at.app.decisions.forAddress(neighbour)!.id)], [{ scope: 'IP', value: neighbour }], 'the next attack is a first one')
      t.strictSame(await codes(first), [null])
      await at.app.decisions.remove(at.app.decisions.forAddress(neighbour)!.id, 'user:anna')
      subnet++
    }
  }
})

t.test('what people decided about one address of a /64, or rules about what did not attack, widens nothing', async (t) => {
  const at = await openApp(t)
  const http = openDoors(t, at)[0]!
  for (const [i, origin] of ['user:anna', 'import:list', 'region:there'].entries()) {
    await at.app.decisions.add({ scope: 'IP', value: `2001:db8:8:${i}::1`, action: 'BLOCK', ttlSeconds: 600, reason: 'test' }, { origin })
    await http.ask({ address: `2001:db8:8:${i}::2`, ...ATTACK })
    t.equal((await http.ask({ address: `2001:db8:8:${i}::3` })).code, null, origin)
  }
})
