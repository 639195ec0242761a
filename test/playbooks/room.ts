import type { Test } from 'tap'
import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import type { Decision } from '../../src/decisions/shapes.ts'
import type { Assessment } from '../../src/receipts/shapes.ts'
import { PLAYBOOKS } from '../../src/playbooks/catalogue.ts'
import { createIncidents, type Incidents } from '../../src/incidents/incidents.ts'
import { incidentCollections } from '../../src/incidents/shapes.ts'
import { createPlaybooks, type Playbooks } from '../../src/playbooks/playbooks.ts'
import type { Actions } from '../../src/playbooks/steps.ts'
import { playbookCollections, type Playbook, type Run, type Detection } from '../../src/playbooks/shapes.ts'
import type { Notice } from '../../src/webhooks/shapes.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { joinedFleets } from '../local-fleet.ts'
import { openTestStorage } from '../storage.ts'

export interface Room {
  playbooks: Playbooks
  incidents: Incidents
  /** Resolves when what was responded to is done and written. */
  settled (): Promise<void>
  close (): Promise<void>
  /** What was done, in order: `block ip:192.0.2.1 86400`. */
  acted: string[]
  notices: Notice[]
  audited: AuditInput[]
  runs: Run[]
  receipts: Map<string, Assessment>
}

export interface RoomOptions {
  count?: number
  playbooks?: readonly Playbook[]
  actions?: Partial<Actions>
  storage?: Storage
  clock?: TestClock
}

/** Playbook rooms of as many processes over one real store; what they act on is written down instead. */
export async function openPlaybooks (t: Test, { count = 1, playbooks = PLAYBOOKS, actions = {}, clock = createTestClock(), ...given }: RoomOptions = {}): Promise<{ rooms: Room[], clock: TestClock, storage: Storage }> {
  const storage = given.storage ?? await openTestStorage(t, [...incidentCollections, ...playbookCollections], clock)
  const rooms = joinedFleets(count).map((fleet): Room => {
    const acted: string[] = []
    const notices: Notice[] = []
    const audited: AuditInput[] = []
    const runs: Run[] = []
    const receipts = new Map<string, Assessment>()
    const audit: Audit = {
      record: (event) => { audited.push(event) },
      durable: async (event) => { audited.push(event); return { ...event, id: 'ev', at: 0, processId: '', seq: 0 } },
      healthy: () => true
    }
    const log = { error () {}, warn () {} }
    const hands: Actions = {
      addDecision (input, by) {
        acted.push(`${input.action.toLowerCase()} ${input.scope.toLowerCase()}:${input.value} ${input.ttlSeconds}${by.simulated === true ? ' simulated' : ''}`)
        return { ...input, id: 'dc_1', origin: by.origin, originKind: 'playbook', simulated: by.simulated ?? false, createdAt: clock.now(), expiresAt: clock.now() + input.ttlSeconds * 1000, assessmentId: by.assessmentId ?? null } satisfies Decision
      },
      previewDecision: ({ ttlSeconds }) => ({ ttlSeconds }),
      hold: (client, ms) => { acted.push(`hold ${client} ${ms}`) },
      limitBlock: (tier, key, ms) => { acted.push(`limit ${tier} ${key} ${ms}`) },
      watch: (client, ms) => { acted.push(`watch ${client} ${ms}`) },
      mayNotify: () => true,
      notify: (notice) => { notices.push(notice) },
      ...actions
    }
    const incidents = createIncidents({ config: { incidentRetentionDays: 365 }, storage, audit, fleet, clock, log, notify: hands.notify })
    const room = createPlaybooks({
      playbooks,
      thresholds: { challenge: 40, block: 75 },
      storage,
      audit,
      fleet,
      clock,
      log,
      requirePermission: async () => {},
      findAssessment: async (id) => receipts.get(id) ?? null,
      refusalsOf: () => 0,
      takeDecision: () => true,
      onRun: (run) => { runs.push(run) },
      incidents,
      actions: hands
    })
    const settled = async (): Promise<void> => { await room.settled(); await incidents.settled() }
    const close = async (): Promise<void> => { await room.close(); await incidents.close() }
    t.teardown(close)
    return { playbooks: room, incidents, settled, close, acted, notices, audited, runs, receipts }
  })
  return { rooms, clock, storage }
}

let count = 0

/** A request of 50 points that nothing but STANDARD_MONITORING minds. */
export function detection (more: Partial<Detection> = {}): Detection {
  return {
    assessmentId: `as_000000000000_${(count++).toString(36)}`,
    at: 1_800_000_000_000,
    attacker: { scope: 'IP', value: '192.0.2.1' },
    client: 'ip:192.0.2.1',
    address: '192.0.2.1',
    score: 50,
    grade: 'likely',
    decoy: false,
    exhausts600s: 0,
    automation: false,
    anomaly: false,
    action: 'CHALLENGE',
    simulated: false,
    refused: false,
    refusals600s: 1,
    method: 'GET',
    path: '/',
    factor: 'payload',
    evidence: [{ rule: 'sqli.union', place: 'query.q', grade: 'likely', text: 'matched "union select" in query.q', technique: 'T1190' }],
    crossed: null,
    ...more
  }
}

export function attackerAt (index: number): Pick<Detection, 'attacker' | 'client'> {
  const value = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
  return { attacker: { scope: 'IP', value }, client: `ip:${value}` }
}
