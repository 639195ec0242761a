import t from 'tap'
import { openApp } from './app.ts'
import { shadowContract, walkContract } from './contract.ts'
import { ATTACK, newAddress, openDoors, receiptOf, SUSPECT, type Door } from './doors.ts'
import { httpWalk } from './http-walk.ts'
import { unjudgedContract } from './unjudged-contract.ts'
import { websocketWalk } from './websocket-walk.ts'

/** One application for all that enforces: a start costs more than the suite. */
t.test('the walk, in enforcement', async (t) => {
  const at = await openApp(t)
  const doors = openDoors(t, at)
  for (const door of doors) {
    await t.test(`through the door ${door.name}`, async (t) => await walkContract(t, door))
    await t.test(`without a verdict through ${door.name}`, async (t) =>
      await unjudgedContract(t, door, { isShadow: false }))
  }

  const [http, websocket] = doors as [Door, Door]
  await t.test('what only HTTP can show', async (t) => await httpWalk(t, http))
  await t.test('what a WebSocket got wrong', async (t) => await websocketWalk(t, { http, websocket }))

  await t.test('the same text is the same evidence and weighs the same at every door', async (t) => {
    const texts = [ATTACK.variables.q, SUSPECT.variables.q, '<script>alert(1)</script>', '; cat /etc/passwd', 'benign']
    for (const q of texts) {
      const seen = []
      for (const door of doors) {
        at.clock.advance(7_200_000)
        const receipt = await receiptOf(door, await door.ask({ address: newAddress(), ...ATTACK, variables: { q } }))
        seen.push({ action: receipt.action, payload: receipt.factors.find(({ name }) => name === 'payload') })
      }
      t.strictSame(seen, [seen[0], seen[0], seen[0]], q)
      t.equal(seen[0]!.payload!.evidence.length > 0, q !== 'benign', q)
    }
  })
})

t.test('the walk, in shadow', async (t) => {
  const doors = openDoors(t, await openApp(t, { ENFORCEMENT: 'shadow' }))
  for (const door of doors) {
    await t.test(`through the door ${door.name}`, async (t) => await shadowContract(t, door))
    await t.test(`without a verdict through ${door.name}`, async (t) =>
      await unjudgedContract(t, door, { isShadow: true }))
  }
})
