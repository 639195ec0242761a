import type { Action, DecisionScope } from '../decisions/shapes.ts'
import type { Tier } from '../identity/shapes.ts'
import type { Evidence, FactorName, Grade } from '../detect/shapes.ts'
import type { CollectionDefinition } from '../storage/port.ts'

/**
 * Shapes of playbooks: the rule (Playbook), what it is held against (Detection), one execution (Run), what a
 * person sees (Incident).
 */
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
  steps: Step[]
  /** False: it only stands in the audit trail. */
  opensIncident: boolean
  /** One run per attacker, playbook and window. */
  windowSeconds: number
}

/** Whom a run acts against: a key or a user when signed in, else the address or its /64. */
export interface Attacker { scope: Exclude<DecisionScope, 'SESSION'>, value: string }

/** What the playbooks are told of one answered request: flat facts, nothing secret. */
export interface Detection {
  assessmentId: string
  at: number
  attacker: Attacker
  /** ClientKey. */
  client: string
  /** Where it came from, as far as NEVER_BLOCK may look at it; null otherwise. */
  address: string | null
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
  method: string
  /** Without query, redacted. */
  path: string
  factor: FactorName | null
  evidence: Evidence[]
  /** The limit that this request crossed, if it did. */
  crossed: {
    tier: Tier,
    key: string, /** login or refresh. */
    attempt: boolean, /** Within ten minutes, this one included. */
    violations600s: number
  } | null
}

export type RunResult = 'done' | 'failed' | 'simulated' | 'skipped'

export interface Run {
  id: string
  playbook: PlaybookName
  attacker: string
  at: number
  assessmentId: string
  result: RunResult
  /** What each step came to, in words. */
  steps: Array<{ do: Step['do'], result: RunResult, detail: string, attempts: number }>
  dryRun: boolean
}

/** What a webhook tells of one attacker. */
export interface Notice {
  kind: 'alert' | 'escalate'
  playbook: PlaybookName
  attacker: string
  assessmentId: string
  score: number
  reason: string
  simulated: boolean /** Its id, when there is one. */
  incident: string | null
}

export type IncidentStatus = 'OPEN' | 'ACKNOWLEDGED' | 'RESOLVED'

export interface TimelineEntry { at: number, actor: string, what: string, assessmentId: string | null }

export interface Incident {
  id: string
  status: IncidentStatus
  critical: boolean
  /** The highest that fired. */
  playbook: PlaybookName
  /** `ip:192.0.2.1`, `key:<id>`, `user:<id>`. */
  attacker: string
  openedAt: number
  updatedAt: number
  /** Who saw to it, and when; null until somebody did. */
  acknowledgedBy: string | null
  acknowledgedAt: number | null
  resolvedBy: string | null
  resolvedAt: number | null
  /** Runs that joined it. */
  count: number
  /** Newest last, at most 200; what people did stays longest. */
  timeline: TimelineEntry[]
  /** Receipts, newest last, at most 200. */
  assessmentIds: string[]
  /** Redacted evidence, at most 50. */
  evidence: Evidence[]
  techniques: string[]
}

export const incidentCollection: CollectionDefinition = {
  name: 'incidents',
  indexes: [
    { name: 'incidents_status', fields: [['status', 1], ['updatedAt', -1]] },
    { name: 'incidents_updated', fields: [['updatedAt', -1]] },
    { name: 'incidents_attacker', fields: [['attacker', 1], ['status', 1]] },
    // One open incident per attacker, whichever process opens it: the key is null once it is resolved.
    { name: 'incidents_open', fields: [['openKey', 1]], unique: true }
  ]
}

export const runCollection: CollectionDefinition = {
  name: 'playbookRuns',
  expiryField: 'expiresAt',
  indexes: [{ name: 'runs_at', fields: [['at', -1]] }, { name: 'runs_attacker', fields: [['attacker', 1], ['at', -1]] }]
}

export const deadLetterCollection: CollectionDefinition = {
  name: 'webhookDeadLetters',
  expiryField: 'expiresAt',
  indexes: [{ name: 'dead_letters_at', fields: [['at', -1]] }]
}

export const playbookCollections: CollectionDefinition[] = [incidentCollection, runCollection, deadLetterCollection]

/** What a playbook did is signed with its name, what a person did with theirs. */
export function isByPerson ({ actor }: TimelineEntry): boolean {
  return !actor.startsWith('playbook:')
}

/** Whom a client's key stands for: an address of IPv6 is its /64. */
export function attackerOf (client: string): Attacker {
  const [kind, ...rest] = client.split(':') as [string, ...string[]]
  const value = rest.join(':')
  if (kind === 'key') return { scope: 'KEY', value }
  if (kind === 'user') return { scope: 'USER', value }
  return value.endsWith('/64') ? { scope: 'RANGE', value } : { scope: 'IP', value }
}
