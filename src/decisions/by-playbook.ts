import type { Audit } from '../audit/shapes.ts'
import type { Clock } from '../std/clock.ts'
import { addedByPlaybook } from './audit-events.ts'
import { escalate, escalatedTtl } from './escalation.ts'
import type { NeverBlock } from './never-block.ts'
import { newDecision } from './new-decision.ts'
import type { PendingWrites } from './pending-writes.ts'
import type { RepeatOffenders } from './repeat-offenders.ts'
import type { Replica } from './replica.ts'
import type { Decision, DecisionInput, DecisionOrigin } from './shapes.ts'
import type { Siblings } from './siblings.ts'
import { subjectKey } from './subject.ts'

type PlaybookInput = DecisionInput & { ttlSeconds: number }

/** Decisions by playbooks: in force from memory at once, recorded and stored afterwards. */
interface PlaybookDecisions {
  addNow (input: PlaybookInput, by: DecisionOrigin): Decision | null
  preview (input: Omit<PlaybookInput, 'reason'>, address?: string | null): { ttlSeconds: number } | null
}

interface PlaybookDecisionsOptions {
  replica: Replica
  pending: PendingWrites<Decision>
  siblings: Siblings
  offenders: RepeatOffenders
  neverBlock: NeverBlock
  audit: Audit
  clock: Clock
}

export function createPlaybookDecisions (options: PlaybookDecisionsOptions): PlaybookDecisions {
  const { replica, pending, siblings, offenders, neverBlock, audit, clock } = options

  function addNow (input: PlaybookInput, by: DecisionOrigin): Decision | null {
    const now = clock.now()
    const made = newDecision(input, by, now)
    if (isSpared(made, by.address, now)) return null
    const rival = replica.standing.rivalOf(made, now)
    const { ttlSeconds, next } = by.escalates === false || by.simulated === true
      ? { ttlSeconds: escalatedTtl(input.ttlSeconds, 0), next: null }
      : escalate({
        ttlSeconds: input.ttlSeconds,
        last: offenders.stepOf(subjectKey(made)),
        isSame: rival !== null
      }, now)
    const expiresAt = now + ttlSeconds * 1000
    if (rival !== null && (rival.expiresAt === null || rival.expiresAt >= expiresAt)) return rival
    const decision = rival === null
      ? { ...made, expiresAt }
      : { ...made, expiresAt, id: rival.id, createdAt: rival.createdAt }
    if (next !== null) offenders.raise(subjectKey(made), next)
    replica.activateOwn(decision)
    pending.put(decision)
    siblings.put(decision, next)
    audit.record(addedByPlaybook(decision, by, rival !== null))
    return decision
  }

  function preview (
    input: Omit<PlaybookInput, 'reason'>,
    address: string | null = null
  ): { ttlSeconds: number } | null {
    const now = clock.now()
    const made = newDecision({ ...input, reason: '' }, { origin: 'playbook:' }, now)
    if (isSpared(made, address, now)) return null
    const last = offenders.stepOf(subjectKey(made))
    return { ttlSeconds: escalate({ ttlSeconds: input.ttlSeconds, last, isSame: false }, now).ttlSeconds }
  }

  /** NEVER_BLOCK, by the client's own address or by the one that its request came from, or a person's allow. */
  function isSpared (decision: Decision, cameFrom: string | null | undefined, now: number): boolean {
    if (decision.action !== 'BLOCK') return false
    const standing = standingAbout(decision, now)
    return (standing?.action === 'ALLOW' && !standing.simulated) || neverBlock.covers(decision) ||
      neverBlock.coversAddress(cameFrom)
  }

  function standingAbout ({ scope, value }: Decision, now: number): Decision | null {
    return scope === 'IP' || scope === 'RANGE'
      ? replica.standing.forAddress(value.split('/', 1)[0] as string, now, true)
      : replica.standing.forId(scope, value, now)
  }

  return { addNow, preview }
}
