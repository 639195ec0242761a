import t from 'tap'
import { knownAddressCollection, usedAddressCollection } from '../../src/identity/collections.ts'
import { createKnownAddresses } from '../../src/identity/known-addresses.ts'
import { createUsedAddresses } from '../../src/identity/used-addresses.ts'
import type { Incident } from '../../src/incidents/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { openApp, spyOn } from './app.ts'
import { ATTACK, newAddress, newHolder, openDoors, receiptOf, SUSPECT, type Asked, type Door } from './doors.ts'

const MINUTE = 60_000

t.test('a credential that writes attacks from where it was never used is shown to a person', async (t) => {
  const at = await openApp(t, { RATE_LIMIT_SERVICE: '10000/60/0', RATE_LIMIT_STANDARD: '10000/60/0' })
  const { app, clock } = at
  const [http, websocket] = openDoors(t, at) as [Door, Door]
  const alarms = spyOn(t, app.webhooks, 'notify')
  const incidentsOf = async (attacker: string): Promise<Incident[]> => {
    await app.incidents.settled()
    return (await app.incidents.list(null, { first: 100, after: null })).items.filter((one) => one.attacker === attacker)
  }
  const write = async (times: number, asked: Asked, doors: Door[] = [http]): Promise<void> => {
    for (let i = 0; i < times; i++) {
      clock.advance(1_000 + 130 * (i % 7))
      const door = doors[i % doors.length]!
      const came = await door.ask({ ...ATTACK, ...asked })
      t.equal(came.code, null)
    }
  }
  t.beforeEach(() => { clock.advance(60 * MINUTE) })

  await t.test('at the eleventh within ten minutes, once, and nothing else comes of it', async (t) => {
    const holder = await newHolder(app, ['read'])
    const { clientKey } = holder.principal
    const address = newAddress()
    await write(10, { holder, address }, [http, websocket])
    t.strictSame(await incidentsOf(clientKey), [])
    const came = await http.ask({ ...ATTACK, holder, address })
    await write(5, { holder, address })
    const incidents = await incidentsOf(clientKey)
    t.match(incidents, [{
      playbook: 'BEHAVIORAL_ANOMALY',
      critical: false,
      status: 'OPEN',
      count: 1,
      evidence: [],
      techniques: ['T1550.001'],
      assessmentIds: [came.id],
      timeline: [{ what: /^a stolen token\?/, actor: 'playbook:BEHAVIORAL_ANOMALY' }]
    }])
    t.notMatch(JSON.stringify(incidents), /UNION/i, 'what was written is on the receipt alone')
    t.match(await receiptOf(http, came), { action: 'ALLOW', status: 200 })
    t.strictSame(alarms, [])
    t.equal(app.limits.isHeld(clientKey), false)
    t.strictSame((await app.decisions.list({}, { first: 10, after: null })).items, [])
  })

  await t.test('never from where it was used before, however much it writes there', async (t) => {
    const holder = await newHolder(app, ['read'])
    const address = newAddress()
    await http.ask({ holder, address })
    clock.advance(11 * MINUTE)
    await write(25, { holder, address })
    t.strictSame(await incidentsOf(holder.principal.clientKey), [])
    await write(11, { holder, address: newAddress() })
    t.match((await incidentsOf(holder.principal.clientKey)).length, 1, 'somebody else with it, meanwhile')
  })

  await t.test('it is the credential that counts: addresses share its ten', async (t) => {
    const holder = await newHolder(app, ['read'])
    for (let i = 0; i < 11; i++) await write(1, { holder, address: newAddress() })
    t.equal((await incidentsOf(holder.principal.clientKey)).length, 1)
  })

  await t.test('not what scores less, nor what stands ten minutes apart, nor what is refused', async (t) => {
    const holder = await newHolder(app, ['read'])
    await write(15, { holder, address: newAddress(), ...SUSPECT })
    for (let i = 0; i < 4; i++) {
      const address = newAddress()
      await write(4, { holder, address })
      clock.advance(10 * MINUTE)
    }
    t.strictSame(await incidentsOf(holder.principal.clientKey), [])
    const stranger = newAddress()
    for (let i = 0; i < 3; i++) await http.ask({ ...ATTACK, address: stranger })
    t.strictSame((await incidentsOf(`ip:${stranger}`)).filter(({ techniques }) => techniques.includes('T1550.001')), [])
  })

  await t.test('not others\' requests, handed in to be assessed', async (t) => {
    const holder = await newHolder(app, ['assess'])
    const query = 'mutation ($requests: [AssessRequest!]!) { assess(requests: $requests) { id } }'
    const variables = { requests: [{ method: 'GET', url: `/?q=${encodeURIComponent(ATTACK.variables.q)}` }] }
    await write(12, { holder, address: newAddress(), query, variables })
    t.strictSame(await incidentsOf(holder.principal.clientKey), [])
  })
})

t.test('since when a credential is used from an address, all processes know', async (t) => {
  const clock = createTestClock()
  const storage = await openTestStorage(t, [usedAddressCollection, knownAddressCollection], clock)
  await createKnownAddresses({ storage, clock }).note('u1', '192.0.2.9')
  const open = (): ReturnType<typeof createUsedAddresses> => createUsedAddresses({ storage, clock })
  const key = { kind: 'key', id: 'k1', clientKey: 'key:k1' } as const
  const user = { kind: 'user', id: 'u1', clientKey: 'user:u1' } as const
  const one = open()
  one.noteUse(key, '192.0.2.1')
  one.noteUse(key, '2001:db8:0:0:0:0:0:1')
  t.ok(await one.isNewAddress(key, '192.0.2.1'))
  await one.close()
  clock.advance(5 * MINUTE)
  const other = open()
  other.noteUse(key, '192.0.2.1')
  await other.close()
  clock.advance(6 * MINUTE)
  const third = open()
  third.noteUse(key, '192.0.2.1')
  third.noteUse(key, '192.0.2.2')
  t.notOk(await third.isNewAddress(key, '192.0.2.1'), 'the first use stands')
  t.notOk(await third.isNewAddress(key, '2001:db8:0:0:0:0:0:2'), 'an address of IPv6 is its /64')
  t.ok(await third.isNewAddress(key, '192.0.2.2'))
  t.ok(await third.isNewAddress({ ...key, clientKey: 'key:k2' }, '192.0.2.1'), 'of each credential its own')
  t.notOk(await third.isNewAddress(user, '192.0.2.9'), 'a user signed in there')
  t.ok(await third.isNewAddress(user, '192.0.2.8'))
  for (let day = 0; day < 40; day++) {
    clock.advance(24 * 60 * MINUTE)
    const today = open()
    today.noteUse(key, '192.0.2.1')
    t.notOk(await today.isNewAddress(key, '192.0.2.1'), `day ${day}`)
    await today.close()
  }
  t.ok(await third.isNewAddress(key, '2001:db8:0:0:0:0:0:2'), 'thirty days without a use')
  for (let i = 0; i < 500; i++) third.noteUse(key, `198.18.${i >> 8}.${i & 255}`)
  await third.close()
  t.ok(await storage.collection(usedAddressCollection).count() <= 70, 'a day of one credential is bounded')
})
