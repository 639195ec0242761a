import type { Action, DecisionScope } from '../decisions/shapes.ts'
import type { Tier } from '../identity/shapes.ts'
import type { Evidence, FactorName, Grade } from '../detect/shapes.ts'
import { canonicalAddress, subnetOf } from '../std/ip.ts'
import type { CollectionDefinition } from '../storage/port.ts'

/** Shapes of playbooks: the rule (Playbook), what it is held against (Detection), one execution (Run). */
export const PLAYBOOK_NAMES = [
  'CRITICAL_THREAT_RESPONSE', 'ACTIVE_ATTACK_DETECTED', 'RATE_LIMIT_VIOLATION', 'AUTOMATION_DETECTED',
  'HONEYPOT_CAPTURE', 'BEHAVIORAL_ANOMALY', 'HIGH_THREAT_RESPONSE', 'STANDARD_MONITORING'
] as const
export type PlaybookName = typeof PLAYBOOK_NAMES[number]

/** All that are given must hold; there is no way to ask for the opposite of one. */
export interface PlaybookCondition {
  /** 0-100. */
  scoreAtLeast?: number
  /** The score reaches CHALLENGE_THRESHOLD. */
  challengingScore?: true
  /** The score reaches BLOCK_THRESHOLD. */
  blockingScore?: true
  /** Payload evidence of grade certain. */
  certainEvidence?: true
  decoy?: true
  automation?: true
  anomaly?: true
  /** Refused by its score, this request included, within ten minutes. */
  refusals600sAtLeast?: number
  /** This request used up the time of scoring threads, as so many of its client did within ten minutes. */
  exhausts600sAtLeast?: number
  /** login or refresh over the strict tier, or the third violation within ten minutes. */
  limitViolation?: true
}

export type Step =
  /** A standing block; `when` may ask for more than the playbook did. */
  | { do: 'block', ttlSeconds: number, when?: PlaybookCondition }
  /** Critical incident, webhook, next step of the ladder. */
  | { do: 'escalate' }
  /** A webhook. */
  | { do: 'alert' }
  /** Keeps redacted evidence with the incident. */
  | { do: 'capture' }
  /** Notes the ATT&CK techniques of the evidence. */
  | { do: 'tag' }
  /** The strict tier's rate, and every request marked as challenged. */
  | { do: 'quarantine', seconds: number }
  /** The limiter's own block of this key in this tier becomes this long, unless the tier's is longer. */
  | { do: 'limit', seconds: number }
  /** Stores every request of the client. */
  | { do: 'watch', seconds: number }

export interface Playbook {
  name: PlaybookName
  description: string
  when: PlaybookCondition
  /** Or this: one of the two must hold. */
  orWhen?: PlaybookCondition
  steps: Step[]
  /** False: it only stands in the audit trail. */
  opensIncident: boolean
  /** One run per attacker, playbook and window. */
  windowSeconds: number
}

/**
 * Whom a run acts against: a key or a user when signed in, else the request's address; of IPv6 the /64 when another
 * address of it is blocked already.
 */
export interface Attacker { scope: Exclude<DecisionScope, 'SESSION'>, value: string }

/** Facts about one answered request, as playbooks are told of it: flat, nothing secret. */
export interface Detection {
  assessmentId: string
  at: number
  attacker: Attacker
  /** ClientKey. */
  client: string
  /** ClientKey of whoever handed it in to be acted on; absent for a request that was asked of us. */
  submitter?: string
  /** The request's address, as far as NEVER_BLOCK may look at it; null otherwise. */
  address: string | null
  /**
   * The attacker's address is that of a proxy which TRUST_PROXY lacks: a private one, or one that several callers
   * share. Absent: of none.
   */
  proxy?: 'private' | 'shared' | null
  score: number
  grade: Grade | null
  /** True when the score is only the cheap one. */
  degraded?: boolean
  decoy: boolean
  automation: boolean
  anomaly: boolean
  action: Action
  /** In shadow. */
  simulated: boolean
  /** True when this request was refused by its score. */
  refused: boolean
  /** This one included. */
  refusals600s: number
  /** Requests of this client within ten minutes that used up the time of scoring threads; 0 unless this one did. */
  exhausts600s: number
  method: string
  /** Without query, redacted. */
  path: string
  factor: FactorName | null
  evidence: Evidence[]
  /** The limit that this request crossed, if it did. */
  crossed: CrossedLimit | null
}

interface CrossedLimit {
  tier: Tier
  key: string
  /** login or refresh. */
  attempt: boolean
  /** Within ten minutes, this one included. */
  violations600s: number
}

export type RunResult = 'done' | 'failed' | 'simulated' | 'skipped'

/** The result of one step, with its details in words. */
export interface StepOutcome { do: Step['do'], result: RunResult, detail: string, attempts: number }

export interface Run {
  id: string
  playbook: PlaybookName
  attacker: string
  at: number
  assessmentId: string
  result: RunResult
  steps: StepOutcome[]
  dryRun: boolean
}

export const runCollection: CollectionDefinition = {
  name: 'playbookRuns',
  expiryField: 'expiresAt',
  indexes: [{ name: 'runs_at', fields: [['at', -1]] }, { name: 'runs_attacker', fields: [['attacker', 1], ['at', -1]] }]
}

export const playbookCollections: CollectionDefinition[] = [runCollection]

/**
 * The attacker that a client key stands for. Of the /64 that is the client of IPv6 it is the one address that the
 * request came from, where that is known. Null where it names nobody, as that of a sample without an address.
 */
export function attackerOf (client: string, address: string | null): Attacker | null {
  const colon = client.indexOf(':')
  const kind = client.slice(0, colon)
  const value = client.slice(colon + 1)
  if (kind === 'key') return { scope: 'KEY', value }
  if (kind === 'user') return { scope: 'USER', value }
  const slash = value.indexOf('/')
  if (kind !== 'ip' || canonicalAddress(slash === -1 ? value : value.slice(0, slash)) === null) return null
  if (!value.endsWith('/64')) return { scope: 'IP', value }
  return address === null ? { scope: 'RANGE', value: subnetOf(value) } : { scope: 'IP', value: address }
}

/** Whether a playbook goes before another, named as an incident names it. */
export function outranks (playbook: PlaybookName, other: string): boolean {
  return PLAYBOOK_NAMES.indexOf(playbook) < PLAYBOOK_NAMES.indexOf(other as PlaybookName)
}

/** As incidents, audit events and webhooks name it: `ip:192.0.2.1`, `range:<cidr>`, `key:<id>`, `user:<id>`. */
export function attackerName ({ attacker }: Pick<Detection, 'attacker'>): string {
  return `${attacker.scope.toLowerCase()}:${attacker.value}`
}
