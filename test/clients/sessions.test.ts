import t from 'tap'
import { BENIGN_KINDS, HOSTILE_KINDS } from '../../bench/session-kinds.ts'
import { BENIGN_VARIANTS, HOSTILE_VARIANTS } from '../../bench/session-variants.ts'
import { scaled } from '../scale.ts'
import { simulateSessions } from './session-simulation.ts'
import type { PlayedSession } from './session-simulation.ts'

const SEEDS = [1, 2, 3].slice(0, scaled(1, 3))
const EACH = 12

function shareFound (played: PlayedSession[]): number {
  return played.filter((session) => session.foundAt !== -1).length / Math.max(1, played.length)
}

t.test('nine hostile sessions in ten are challenged or blocked, ordinary life is left alone', (t) => {
  for (const seed of SEEDS) {
    const played = simulateSessions([...HOSTILE_KINDS, ...BENIGN_KINDS], EACH, seed)
    const hostile = shareFound(played.filter((session) => session.hostile))
    const benign = shareFound(played.filter((session) => !session.hostile))
    t.ok(hostile >= 0.9, `seed ${seed}: ${(100 * hostile).toFixed(1)} % of hostile sessions found`)
    t.ok(benign <= 0.02, `seed ${seed}: ${(100 * benign).toFixed(1)} % of benign sessions flagged`)
    for (const kind of new Set(played.filter((session) => session.hostile).map((session) => session.kind))) {
      const share = shareFound(played.filter((session) => session.kind === kind))
      t.ok(share >= 0.7, `seed ${seed}: ${(100 * share).toFixed(0)} % of ${kind}`)
    }
  }
  t.end()
})

t.test('nor do other paces, agents and lengths: every variant is found, every ordinary one left alone', (t) => {
  for (const processes of [1, 2]) {
    const played = simulateSessions([...HOSTILE_VARIANTS, ...BENIGN_VARIANTS], 8, 21, processes)
    for (const kind of new Set(played.map((session) => session.kind))) {
      const some = played.filter((session) => session.kind === kind)
      const share = shareFound(some)
      t.ok(some[0]!.hostile ? share >= 0.75 : share === 0, `${processes} processes: ${(100 * share).toFixed(0)} % of ${kind}`)
    }
  }
  t.end()
})

t.test('it does not matter which process answers: the same with two, request by request', (t) => {
  const played = simulateSessions([...HOSTILE_KINDS, ...BENIGN_KINDS], EACH, 4, 2)
  const hostile = shareFound(played.filter((session) => session.hostile))
  const benign = shareFound(played.filter((session) => !session.hostile))
  t.ok(hostile >= 0.9, `${(100 * hostile).toFixed(1)} % of hostile sessions found`)
  t.ok(benign <= 0.02, `${(100 * benign).toFixed(1)} % of benign sessions flagged`)
  t.end()
})

t.test('each benign kind alone on the machine is left alone', (t) => {
  for (const kind of BENIGN_KINDS) {
    const played = simulateSessions([kind], 10, 7)
    t.equal(played.filter((session) => session.foundAt !== -1).length, 0, (played[0] as PlayedSession).kind)
  }
  t.end()
})

t.test('scrapers set the automation flag, stuffing and rotation the anomaly flag, people neither', (t) => {
  const played = simulateSessions([...HOSTILE_KINDS, ...BENIGN_KINDS], 6, 11)
  const share = (kind: string, flag: 'automation' | 'anomaly'): number => {
    const some = played.filter((session) => session.kind === kind)
    return some.filter((session) => session[flag]).length / some.length
  }
  for (const kind of ['scraper-fast', 'scraper-regular']) t.ok(share(kind, 'automation') >= 0.8, kind)
  for (const kind of ['stuffing-one-address', 'stuffing-many-addresses', 'token-guessing', 'agent-rotation']) t.ok(share(kind, 'anomaly') >= 0.8, kind)
  t.equal(played.filter((session) => !session.hostile && (session.automation || session.anomaly)).length, 0)
  t.end()
})
