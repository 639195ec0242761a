import { createReceipts } from '../../src/receipts/receipts.ts'
import { assessmentCollections } from '../../src/receipts/shapes.ts'
import { decideVerdict } from '../../src/decisions/verdict.ts'
import { withAllowances } from '../../src/detect/allowances.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { createScoringPool } from '../../src/threads/pool.ts'
import { rescore } from '../../src/detect/rescore.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { joinedFleets } from '../local-fleet.ts'
import { openTestStorage } from '../storage.ts'
import type { Test } from 'tap'
import type { Receipts } from '../../src/receipts/receipts.ts'
import type { Recorded } from '../../src/receipts/receipt.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import type { ScoringPool } from '../../src/threads/pool.ts'
import type { TestClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'

export interface Room {
  assessments: Receipts
  pool: ScoringPool
  processId: string
  /** Scores, judges and records as the gate does. */
  see (observation: Observation): Promise<Recorded>
}

export interface Rooms { rooms: Room[], clock: TestClock, storage: Storage, audited: AuditInput[] }

/** Rooms of as many processes over one real store, seen through `through`; scoring inline. */
export async function openRooms (t: Test, count = 1, through = (storage: Storage): Storage => storage): Promise<Rooms> {
  const clock = createTestClock()
  const storage = through(await openTestStorage(t, assessmentCollections, clock))
  const audited: AuditInput[] = []
  const audit = { record: (event: AuditInput) => { audited.push(event) }, durable: async (event: AuditInput) => { audited.push(event); return { ...event, id: 'ev', at: 0, processId: '', seq: 0 } }, healthy: () => true }
  const rooms = joinedFleets(count).map((fleet): Room => {
    const pool = createScoringPool({ mode: 'inline', threads: 1, policy: createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 }), clock, log: { warn () {} } })
    const thresholds = { challenge: 40, block: 75, shadow: false }
    const assessments = createReceipts({
      storage,
      audit,
      fleet,
      clock,
      config: { assessmentRetentionDays: 30, decoyPaths: ['/wp-admin/'] },
      log: { warn () {}, error () {} },
      threads: {
        score: pool.score,
        policy: pool.policy,
        allow: (allowances) => pool.usePolicy(withAllowances(pool.policy(), allowances)),
        rescore: (observation, payload) => rescore(observation, payload, pool.policy())
      },
      judge: (score, { method }) => decideVerdict({ score, decision: null, method, thresholds })
    })
    t.teardown(() => assessments.close())
    return {
      assessments,
      pool,
      processId: fleet.processId,
      async see (observation) {
        const score = await pool.score(observation)
        const receipt: Recorded = { observation, score, verdict: decideVerdict({ score, decision: null, method: 'GET', thresholds }), status: 200, decisionId: null, address: '192.0.2.7', at: observation.at }
        assessments.record(receipt)
        return receipt
      }
    }
  })
  return { rooms, clock, storage, audited }
}
