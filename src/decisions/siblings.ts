import type { Fleet } from '../fleet/port.ts'
import type { Step } from './escalation.ts'
import type { PendingWrites } from './pending-writes.ts'
import type { Readmission } from './readmission.ts'
import type { RepeatOffenders } from './repeat-offenders.ts'
import type { Replica } from './replica.ts'
import { asDocument, withOriginKind, type Decision } from './shapes.ts'
import { subjectKey } from './subject.ts'

/** Told to all other processes of the fleet, at most once: reconcile.ts makes up for messages that were lost. */
export interface Siblings {
  /** `step`: the step that the client takes with it. */
  put (decision: Decision, step: Step | null): void
  removed (decision: Decision): void
}

interface SiblingsOptions {
  fleet: Fleet
  replica: Replica
  offenders: RepeatOffenders
  readmission: Readmission
  pending: PendingWrites<Decision>
}

/** Applies what siblings tell from now on. */
export function joinSiblings ({ fleet, replica, offenders, readmission, pending }: SiblingsOptions): Siblings {
  fleet.subscribe('decisions.put', (message) => {
    const { decision: told, step } = message as unknown as { decision: Decision, step: Step | null }
    const decision = withOriginKind(told)
    if (replica.isEntombed(decision.id)) return
    if (step !== null) offenders.applyRemote(subjectKey(decision), step)
    replica.activate(decision)
  })
  fleet.subscribe('decisions.remove', (message) => {
    const decision = withOriginKind(message as unknown as Decision)
    replica.entomb(decision.id)
    readmission.readmit(decision)
    replica.deactivate(decision.id)
  })
  fleet.answer('decisions.pending', (ids) => (ids as string[]).filter((id) => pending.isPending(id)))

  return {
    put (decision, step) {
      fleet.publish('decisions.put', { decision: asDocument(decision), step: step === null ? null : { ...step } })
    },
    removed (decision) { fleet.publish('decisions.remove', asDocument(decision)) }
  }
}
