import t from 'tap'
import { NeverBlock } from '../../src/decisions/never-block.ts'
import { createStanding } from '../../src/decisions/standing.ts'
import type { Action, Decision, OriginKind } from '../../src/decisions/shapes.ts'
import { addressNumber, canonicalAddress, cidrText, parseCidr } from '../../src/std/ip.ts'
import { createDice } from '../../bench/session-scripts.ts'

const NOW = 1_800_000_000_000
const ORDER = { ALLOW: 3, BLOCK: 2, CHALLENGE: 1 }

t.test('what the index finds is what a plain list would find, whatever was put in and taken out', (t) => {
  const dice = createDice(7)
  const standing = createStanding({ neverBlock: new NeverBlock([]) })
  const all = new Map<string, Decision>()
  // Few distinct bits, so that ranges nest and addresses hit them.
  const four = (): string => `${dice.pick([10, 172, 203])}.${dice.pick([0, 16, 255])}.${dice.whole(0, 3)}.${dice.whole(0, 3)}`
  const six = (): string => canonicalAddress(`2001:db8:${dice.whole(0, 2)}:${dice.whole(0, 2)}::${dice.whole(0, 2)}:${dice.whole(0, 3)}`) as string
  const make = (i: number): Decision => {
    const isSix = dice.chance(0.5)
    const address = isSix ? six() : four()
    const isRange = dice.chance(0.7)
    const value = isRange ? cidrText(parseCidr(`${address}/${dice.whole(0, isSix ? 128 : 32)}`)!) : address
    return { id: `dc_${i}`, scope: isRange ? 'RANGE' : 'IP', value, action: dice.pick<Action>(['ALLOW', 'BLOCK', 'BLOCK', 'CHALLENGE']), origin: 'user:u', originKind: dice.pick<OriginKind>(['person', 'playbook', 'playbook', 'import', 'region']), reason: '', simulated: dice.chance(0.2), createdAt: NOW, expiresAt: dice.chance(0.3) ? NOW + dice.whole(-1000, 1000) : null, assessmentId: null }
  }
  const plain = (address: string, byPeople: boolean): string => {
    const number = addressNumber(address)
    const family = address.includes(':') ? 6 : 4
    const ranks = [...all.values()].filter(({ value, expiresAt, action, originKind }) => {
      const cidr = parseCidr(value)!
      if (byPeople && action !== 'ALLOW' && originKind !== 'person') return false
      return cidr.family === family && number >= cidr.first && number <= cidr.last && (expiresAt === null || expiresAt > NOW)
    }).map(({ action, simulated }) => ORDER[action] + (simulated ? 0 : 3))
    return ranks.length === 0 ? 'none' : String(Math.max(...ranks))
  }
  let wrong = 0
  for (let i = 0; i < 3000; i++) {
    if (all.size > 40 || (all.size > 0 && dice.chance(0.4))) {
      const id = dice.pick([...all.keys()])
      standing.remove(id)
      all.delete(id)
    } else {
      const decision = make(i)
      standing.put(decision)
      all.set(decision.id, decision)
    }
    for (const address of [four(), six()]) {
      for (const byPeople of [false, true]) {
        const found = byPeople ? standing.byPeopleAbout(address, NOW, true) : standing.forAddress(address, NOW, true)
        const rank = found === null ? 'none' : String(ORDER[found.action] + (found.simulated ? 0 : 3))
        if (rank !== plain(address, byPeople)) wrong++
      }
    }
  }
  t.equal(wrong, 0)
  t.equal(standing.size, all.size)
  t.end()
})

t.test('an allow wins over every block, but not one that is simulated or has expired', (t) => {
  const standing = createStanding({ neverBlock: new NeverBlock([]) })
  const put = (id: string, action: Action, fields: Partial<Decision> = {}): void => standing.put({ id, scope: 'IP', value: '192.0.2.7', action, origin: 'user:u', originKind: 'person', reason: '', simulated: false, createdAt: NOW, expiresAt: null, assessmentId: null, ...fields })
  put('block', 'BLOCK')
  put('simulated', 'ALLOW', { simulated: true })
  put('expired', 'ALLOW', { expiresAt: NOW - 1 })
  put('range', 'ALLOW', { scope: 'RANGE', value: '192.0.2.0/24', expiresAt: NOW })
  t.equal(standing.forAddress('192.0.2.7', NOW, true)?.id, 'block')
  put('real', 'ALLOW', { scope: 'RANGE', value: '192.0.0.0/16', expiresAt: NOW + 1 })
  t.equal(standing.forAddress('192.0.2.7', NOW, true)?.id, 'real')
  t.equal(standing.forAddress('192.0.2.7', NOW + 1, true)?.id, 'block', 'until it ends')
  t.end()
})
