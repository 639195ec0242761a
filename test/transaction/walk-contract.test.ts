import t from 'tap'
import { openApp } from './app.ts'
import { shadowContract, walkContract } from './contract.ts'
import { ATTACK, newAddress, openDoors, receiptOf, SUSPECT } from './doors.ts'

t.test('the walk, in enforcement', async (t) => {
  const at = await openApp(t)
  const doors = openDoors(t, at)
  for (const door of doors) await t.test(`through the door ${door.name}`, async (t) => await walkContract(t, door))

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
  for (const door of doors) await t.test(`through the door ${door.name}`, async (t) => await shadowContract(t, door))
})
