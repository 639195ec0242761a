import type { Audit } from '../audit/shapes.ts'
import {
  NEKO_ERR_DECISION_SELF,
  NEKO_ERR_FORBIDDEN,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_NOT_FOUND
} from '../errors.ts'
import type { Principal } from '../identity/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Collection } from '../storage/port.ts'
import { addedByPerson, refusedToPerson, removed, takenBack } from './audit-events.ts'
import type { NeverBlock } from './never-block.ts'
import { newDecision, requireTtl } from './new-decision.ts'
import { isOwnBlock } from './own-block.ts'
import type { PendingWrites } from './pending-writes.ts'
import { isWide, lackOf, type ScopesOf, type Target } from './permission.ts'
import type { Readmission } from './readmission.ts'
import type { RepeatOffenders } from './repeat-offenders.ts'
import { endOf, type Replica } from './replica.ts'
import type { Decision, DecisionInput, DecisionOrigin } from './shapes.ts'
import type { Siblings } from './siblings.ts'
import { madeBy } from './stored-decisions.ts'
import { subjectKey } from './subject.ts'

/** Decisions by people: acknowledged when the audit record is synced and memory has it; the store follows. */
interface PersonDecisions {
  add (input: DecisionInput, by: DecisionOrigin): Promise<Decision>
  requirePermission (maker: Principal, target: Target): Promise<void>
  remove (id: string, actor: string): Promise<Decision>
}

interface PersonDecisionsOptions {
  replica: Replica
  store: Collection<Decision>
  pending: PendingWrites<Decision>
  siblings: Siblings
  offenders: RepeatOffenders
  readmission: Readmission
  neverBlock: NeverBlock
  scopesOf: ScopesOf
  audit: Audit
  clock: Clock
}

export function createPersonDecisions (options: PersonDecisionsOptions): PersonDecisions {
  const { replica, store, pending, siblings, offenders, readmission, neverBlock, scopesOf, audit, clock } = options

  async function add (input: DecisionInput, by: DecisionOrigin): Promise<Decision> {
    requireTtl(input.ttlSeconds)
    const made = newDecision(input, by, clock.now())
    let decision = renewing(made)
    if (decision.action === 'BLOCK' && neverBlock.covers(decision)) {
      throw new NEKO_ERR_INPUT_INVALID('NEVER_BLOCK covers this address')
    }
    if (by.maker !== undefined) await requireHeld(by.maker.principal, decision)
    if (by.force !== true && isOwnBlock(decision, by.maker)) throw new NEKO_ERR_DECISION_SELF()
    if (by.force !== true && by.maker !== undefined && isWide(decision)) {
      throw new NEKO_ERR_INPUT_INVALID('A range wider than /16 (IPv6: /32) needs force: true')
    }
    const { id: eventId } = await audit.durable(addedByPerson(decision))
    if (replica.isEntombed(decision)) {
      // Somebody removed the one that this renews while it was recorded: it is one of its own then.
      const back = takenBack(decision, eventId)
      await audit.durable(back).catch(() => audit.record(back))
      decision = made
      await audit.durable(addedByPerson(decision))
    }
    replica.activateOwn(decision)
    // Of what others made meanwhile, that which lasts longest stands: a version of this one, or another in its place.
    const standing = replica.standing.get(decision.id)
    if (standing === null) return replica.standing.rivalOf(decision, clock.now()) ?? decision
    const last = endOf(standing) > endOf(decision) ? standing : decision
    pending.put(last)
    siblings.put(last, null)
    return last
  }

  async function requireHeld (maker: Principal, decision: Target & Pick<Decision, 'action'>): Promise<void> {
    const lack = await lackOf(maker, decision, scopesOf)
    if (lack === null) return
    audit.record(refusedToPerson(decision, maker.clientKey))
    throw new NEKO_ERR_FORBIDDEN(lack)
  }

  /** A decision that people made before is made anew: the newer words, and the later end. To shorten it, remove it. */
  function renewing (made: Decision): Decision {
    const rival = replica.standing.rivalOf(made, clock.now())
    if (rival === null) return made
    const isForever = rival.expiresAt === null || made.expiresAt === null
    return { ...made, id: rival.id, expiresAt: isForever ? null : Math.max(rival.expiresAt!, made.expiresAt!) }
  }

  async function remove (id: string, actor: string): Promise<Decision> {
    const decision = replica.standing.get(id) ?? await store.get(id)
    if (decision === null) throw new NEKO_ERR_NOT_FOUND('There is no such decision')
    const outlasted = replica.outlastedBy(id)
    // Another host's clock may be ahead of this one, and this one's may have been.
    const removedAt = Math.max(clock.now(), ...[decision, ...outlasted].map(({ createdAt }) => createdAt))
    // Those in whose place it stands go first: should its own removal fail, it still stands for them.
    await Promise.all(outlasted.map((other) => audit.durable(removed(other, actor, removedAt))))
    await audit.durable(removed(decision, actor, removedAt))
    if (replica.standing.get(id) === null) readmission.readmit(decision)
    replica.bury(id, removedAt)
    pending.delete(id, madeBy(removedAt))
    offenders.reset(subjectKey(decision))
    siblings.removed(decision, removedAt)
    if (decision.action === 'BLOCK') await removeBeside(decision, actor)
    return decision
  }

  /**
   * A client who is let back in is let in: the quarantine that came with the block goes with it, and with a playbook's
   * block of an IPv6 address or of its /64 whatever else of that /64 playbooks decided about.
   */
  async function removeBeside (block: Decision, actor: string): Promise<void> {
    const { standing } = replica
    const quarantines = standing.about(block)
      .filter(({ action, originKind }) => action === 'CHALLENGE' && originKind === 'playbook')
    for (const { id } of new Set([...quarantines, ...standing.inSubnetOf(block)])) {
      if (standing.get(id) !== null) await remove(id, actor)
    }
  }

  return {
    add,
    requirePermission: (maker, target) => requireHeld(maker, { ...target, action: 'BLOCK' }),
    remove
  }
}
