import type { Principal } from '../identity/shapes.ts'
import type { Json } from '../std/json.ts'
import type { CollectionDefinition } from '../storage/port.ts'

/** Shapes of decisions: a Verdict is about one request, a Decision stands about a client. */
export type Action = 'ALLOW' | 'CHALLENGE' | 'BLOCK'
export type DecisionScope = 'IP' | 'RANGE' | 'KEY' | 'USER' | 'SESSION'

/** Who decides: only what a person decided about an address holds for callers who show a valid credential. */
export type OriginKind = 'person' | 'playbook' | 'import' | 'region'

/** The recommendation about one request. */
export interface Verdict {
  action: Action
  /** True in shadow: computed and recorded, refused by nobody. */
  simulated: boolean
}

/** A standing rule about a client. */
export interface Decision {
  id: string
  scope: DecisionScope
  /** Canonical: an address, a CIDR, or the id of a key, user or session. */
  value: string
  action: Action
  /** `user:<id>`, `key:<id>`, `playbook:<NAME>`, `import:<name>`, `region:<name>`. */
  origin: string
  /** A key that may `decide` speaks for a person; one that only bounces, whatever its origin says, for a rule. */
  originKind: OriginKind
  reason: string
  simulated: boolean
  createdAt: number
  /** ms since the epoch, or null: until removed. */
  expiresAt: number | null
  assessmentId: string | null
}

/** The kind that an origin tells by itself. */
export function originKindOf (origin: string): OriginKind {
  const before = origin.slice(0, Math.max(0, origin.indexOf(':')))
  return before === 'playbook' || before === 'import' || before === 'region' ? before : 'person'
}

/** As it comes from a store or a process of an older version, which knew no kinds. */
export function withOriginKind (decision: Omit<Decision, 'originKind'> & { originKind?: OriginKind }): Decision {
  return { ...decision, originKind: decision.originKind ?? originKindOf(decision.origin) }
}

/** Whether a decision about an address holds for callers with a valid credential, who share it with others. */
export function holdsForSignedIn ({ action, originKind }: Decision): boolean {
  return action === 'ALLOW' || originKind === 'person'
}

/** A decision as messages and the trail carry it. */
export function asDocument (decision: Decision): { id: string } & { [key: string]: Json } {
  return { ...decision } as unknown as { id: string } & { [key: string]: Json }
}

export interface DecisionInput {
  scope: DecisionScope
  value: string
  action: Action
  /** 1 s to 10 years; null: until removed. */
  ttlSeconds: number | null
  /** At most 500 characters. */
  reason: string
}

/** Where a decision comes from, when it is made. */
export interface DecisionOrigin {
  origin: string
  /** Default: as the origin tells. */
  originKind?: OriginKind
  simulated?: boolean
  /** Of a person: a block that holds for its own maker needs `force`. */
  maker?: { principal: Principal, address: string | null }
  force?: boolean
  assessmentId?: string | null
  /** Of that receipt, for the audit trail: its score and decisive factor. */
  score?: number | null
  factor?: string | null
  /** Where the offender's request came from: NEVER_BLOCK spares a client from there under any name. */
  address?: string | null
  /** False: no step of the escalation (a quarantine that is renewed is no new offence). */
  escalates?: boolean
}

/** Read from the primary: to a copy that lags, what was just decided would look like removed. */
export const decisionCollection: CollectionDefinition = {
  name: 'decisions',
  primaryReads: true,
  expiryField: 'expiresAt',
  versionFields: { madeAt: 'createdAt', endsAt: 'expiresAt' },
  indexes: [
    { name: 'decisions_created', fields: [['createdAt', -1]] },
    { name: 'decisions_value', fields: [['value', 1]] },
    { name: 'decisions_action', fields: [['action', 1], ['createdAt', -1]] }
  ]
}

/** Steps of repeat offenders: id is `<scope>|<value>`. */
export const offenderStepCollection: CollectionDefinition = { name: 'ladders', expiryField: 'expiresAt', indexes: [] }

export const decisionCollections: CollectionDefinition[] = [decisionCollection, offenderStepCollection]
