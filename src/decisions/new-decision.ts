import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { newId } from '../std/id.ts'
import { originKindOf, type Decision, type DecisionInput, type DecisionOrigin } from './shapes.ts'
import { canonicalValue } from './subject.ts'

const TTL_SECONDS_MAX = 10 * 365 * 86_400
const REASON_CHARACTERS_MAX = 500

/** A decision that nobody has heard of yet. @throws NEKO_ERR_INPUT_INVALID for a value that its scope does not have */
export function newDecision (input: DecisionInput, by: DecisionOrigin, nowMs: number): Decision {
  return {
    id: newId('dc', nowMs),
    scope: input.scope,
    value: canonicalValue(input.scope, input.value),
    action: input.action,
    origin: by.origin,
    originKind: by.originKind ?? originKindOf(by.origin),
    reason: input.reason.slice(0, REASON_CHARACTERS_MAX),
    simulated: by.simulated ?? false,
    createdAt: nowMs,
    expiresAt: input.ttlSeconds === null ? null : nowMs + input.ttlSeconds * 1000,
    assessmentId: by.assessmentId ?? null
  }
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function requireTtl (ttlSeconds: number | null): void {
  if (ttlSeconds === null) return
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > TTL_SECONDS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID('ttlSeconds must be from 1 to ten years')
  }
}
