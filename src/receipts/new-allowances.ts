import { hash } from 'node:crypto'
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { allowableSigns, type AllowableSign } from '../detect/allowable.ts'
import { allowanceKey } from '../detect/shapes.ts'
import { isMaskedAt, redactFactors } from './redact.ts'
import { restoreObservation } from './replay.ts'
import type { Assessment, StoredAllowance } from './shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Clock } from '../std/clock.ts'

/** A request that needs more is no ordinary one. */
export const PER_RECEIPT_MAX = 16
const ALLOWED_MS = 30 * 86_400_000
/** As much as a receipt shows of a path. */
const TARGET_CHARACTERS_MAX = 512

interface NewAllowancesParts {
  clock: Clock
  policy (): Policy
  isDecoy (target: string): boolean
}

/**
 * What would let the signs of a receipt pass, one to 16.
 * @throws NEKO_ERR_INPUT_INVALID when it holds nothing that can be allowed
 */
export function newAllowances (
  assessment: Assessment,
  actor: string,
  { clock, policy, isDecoy }: NewAllowancesParts
): StoredAllowance[] {
  const signs = signsOf(assessment, policy())
  if (signs.length === 0) {
    throw new NEKO_ERR_INPUT_INVALID(
      'this assessment holds no evidence that can be allowed: what a client does over time, structure and ' +
        'what stood in a masked place cannot'
    )
  }
  const { target } = signs[0] as AllowableSign
  if (isDecoy(target)) throw new NEKO_ERR_INPUT_INVALID('a decoy cannot be allowed')
  if (signs.length > PER_RECEIPT_MAX || target.length > TARGET_CHARACTERS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`this request is no ordinary one: ${signs.length} signs would have to be allowed`)
  }
  const nowMs = clock.now()
  return signs.map((sign) => ({
    id: `al_${hash('sha256', allowanceKey(sign), 'base64url').slice(0, 22)}`,
    ...sign,
    origin: actor,
    assessmentId: assessment.id,
    createdAt: nowMs,
    expiresAt: nowMs + ALLOWED_MS
  }))
}

/** By the rules as they are now, over what was kept of the request. */
function signsOf (assessment: Assessment, policy: Policy): AllowableSign[] {
  const kept = assessment.observation
  if (kept === null || (kept.route === null && isMaskedAt(kept.masked, 'path'))) return []
  const observation = restoreObservation(assessment, kept)
  const signs = allowableSigns(observation, policy, (place) => !isMaskedAt(kept.masked, place))
  return signs.map((sign) => ({ ...sign, text: toldText(sign) }))
}

function toldText ({ rule, place, grade, text }: AllowableSign): string {
  const evidence = [{ rule, place, grade, text, technique: null }]
  return redactFactors([{ name: 'payload', contribution: 0, evidence }])[0]!.evidence[0]!.text
}
