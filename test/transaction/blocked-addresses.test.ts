import t from 'tap'
import type { OriginKind } from '../../src/decisions/shapes.ts'
import { openApp } from './app.ts'
import { newAddress, newHolder, openDoors, receiptOf, type Door, type Holder } from './doors.ts'

/**
 * A block of an address against the people behind it: who shows a valid credential is judged by that, unless a person
 * decided about the address.
 */
const ORIGINS: ReadonlyArray<[OriginKind, { origin: string, kind?: OriginKind }]> = [
  ['person', { origin: 'user:anna' }],
  ['person', { origin: 'key:decider' }],
  ['playbook', { origin: 'playbook:CRITICAL_THREAT_RESPONSE' }],
  ['playbook', { origin: 'key:bouncer', kind: 'playbook' }],
  ['import', { origin: 'import:list' }],
  ['region', { origin: 'region:elsewhere' }]
]

t.test('a block that a rule made about an address holds for no valid credential, one by a person holds for all', async (t) => {
  const at = await openApp(t)
  const doors = openDoors(t, at).filter(({ authority }) => authority === 'caller')
  const decide = async (scope: 'IP' | 'RANGE' | 'KEY', value: string, action: 'BLOCK' | 'CHALLENGE', by = ORIGINS[0]![1]): Promise<void> => {
    await at.app.decisions.add({ scope, value, action, ttlSeconds: 600, reason: 'test' }, by)
  }
  const codeOf = async (door: Door, address: string, holder?: Holder): Promise<string | null> =>
    (await door.ask({ address, ...(holder === undefined ? {} : { holder }) })).code

  for (const door of doors) {
    for (const [kind, by] of ORIGINS) {
      for (const scope of ['IP', 'RANGE'] as const) {
        const address = newAddress()
        await decide(scope, scope === 'IP' ? address : `${address}/32`, 'BLOCK', by)
        const about = `${door.name}: ${scope} by ${by.origin}`
        t.equal(await codeOf(door, address), 'NEKO_ERR_BLOCKED', `${about}, a stranger`)
        const holder = await newHolder(at.app)
        t.equal(await codeOf(door, address, holder), kind === 'person' ? 'NEKO_ERR_BLOCKED' : null, `${about}, a key`)
        await decide('KEY', holder.principal.id, 'BLOCK')
        t.equal(await codeOf(door, address, holder), 'NEKO_ERR_BLOCKED', `${about}, a key that is blocked itself`)
      }
    }
    const address = newAddress()
    const holder = await newHolder(at.app)
    await decide('IP', address, 'CHALLENGE', ORIGINS[2]![1])
    t.equal((await receiptOf(door, await door.ask({ address }))).action, 'CHALLENGE', 'a quarantine marks a stranger')
    t.equal((await receiptOf(door, await door.ask({ address, holder }))).action, 'ALLOW', 'and nobody who is signed in')
    await decide('IP', address, 'CHALLENGE')
    t.equal((await receiptOf(door, await door.ask({ address, holder }))).action, 'CHALLENGE', 'unless a person says so')
  }
})

t.test('a credential that does not hold opens no blocked address', async (t) => {
  const at = await openApp(t)
  const http = openDoors(t, at)[0]!
  const { key, principal } = await newHolder(at.app)
  const bad = [`${key}x`, key.slice(0, -1), key.toUpperCase(), 'neko_', '', 'null']
  for (const [i, shown] of bad.entries()) {
    const address = newAddress()
    await at.app.decisions.add({ scope: 'IP', value: address, action: 'BLOCK', ttlSeconds: 600, reason: 'test' }, ORIGINS[2]![1])
    t.equal((await http.ask({ address, holder: { key: shown, principal } })).code, 'NEKO_ERR_BLOCKED', `bad key ${i}`)
  }
})
