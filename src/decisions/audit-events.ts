import type { AuditInput } from '../audit/shapes.ts'
import type { EffectVersion } from '../journal/shapes.ts'
import { asDocument, decisionCollection, type Decision, type DecisionOrigin } from './shapes.ts'
import { subjectKey } from './subject.ts'

/** Audit events about decisions (pure): each carries the change of the store that a replay makes up for. */
type StoreChange = NonNullable<AuditInput['effects']>

/** By a person. */
export function addedByPerson (decision: Decision): AuditInput {
  const { id, action, reason, expiresAt } = decision
  return {
    ...about(decision, 'decision.add', decision.origin),
    assessmentId: decision.assessmentId,
    details: { id, action, reason, expiresAt },
    effects: putOf(decision)
  }
}

/** The decision that an event added does not stand: somebody removed the one that it renews meanwhile. */
export function takenBack (decision: Decision, eventId: string): AuditInput {
  const { id } = decision
  return {
    ...about(decision, 'decision.add', decision.origin),
    outcome: 'failed',
    assessmentId: decision.assessmentId,
    details: { id, takesBack: eventId }
  }
}

/** Somebody may not decide that. */
export function refusedToPerson (
  decision: Pick<Decision, 'scope' | 'value' | 'action'>,
  actor: string
): AuditInput {
  const { action } = decision
  return { ...about(decision, 'decision.add', actor), outcome: 'refused', details: { action } }
}

/** By a playbook; `prolonged` when the client's decision of the same kind lasts longer now. */
export function addedByPlaybook (decision: Decision, by: DecisionOrigin, prolonged: boolean): AuditInput {
  const { id, action, reason, expiresAt, simulated } = decision
  return {
    ...about(decision, prolonged ? 'decision.prolong' : 'decision.add', by.origin),
    assessmentId: decision.assessmentId,
    score: by.score ?? null,
    factor: by.factor ?? null,
    details: { id, action, reason, expiresAt, simulated },
    effects: putOf(decision)
  }
}

/**
 * One event for each decision: the trail's index in the store finds an event by its first effect alone. `removedAt`:
 * the versions made up to then end (ms since the epoch).
 */
export function removed (decision: Decision, actor: string, removedAt: number): AuditInput {
  return {
    ...about(decision, 'decision.remove', actor),
    details: { id: decision.id, receipt: decision.assessmentId },
    effects: deleteOf(decision.id, { madeAt: removedAt })
  }
}

/**
 * Two processes saw one offence, and the other's decision stays. The effect names the version that ended: another
 * process may have renewed the decision meanwhile.
 */
export function superseded (decision: Decision): AuditInput {
  return {
    ...about(decision, 'decision.supersede', decision.origin),
    assessmentId: decision.assessmentId,
    details: { id: decision.id },
    effects: deleteOf(decision.id, versionOf(decision)).map((effect) => ({ ...effect, doc: endedVersion(decision) }))
  }
}

function about (
  decision: Pick<Decision, 'scope' | 'value'>,
  type: string,
  actor: string
): Pick<AuditInput, 'category' | 'type' | 'actor' | 'target' | 'outcome'> {
  return { category: 'security', type, actor, target: subjectKey(decision), outcome: 'ok' }
}

function putOf (decision: Decision): StoreChange {
  const [doc, version] = [asDocument(decision), versionOf(decision)]
  return [{ collection: decisionCollection.name, op: 'put', id: decision.id, doc, version }]
}

function versionOf ({ createdAt, expiresAt }: Decision): EffectVersion {
  return { madeAt: createdAt, endsAt: expiresAt }
}

function endedVersion ({ id, expiresAt }: Decision): { id: string, expiresAt: number | null } {
  return { id, expiresAt }
}

function deleteOf (id: string, version: EffectVersion): StoreChange {
  return [{ collection: decisionCollection.name, op: 'delete', id, version }]
}
