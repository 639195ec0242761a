import { hash } from 'node:crypto'
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { AllowableSign } from '../detect/allowable.ts'
import { allowanceKey } from '../detect/shapes.ts'
import type { StoredAllowance } from './shapes.ts'
import type { Clock } from '../std/clock.ts'

/** A request that needs more is no ordinary one. */
export const PER_RECEIPT_MAX = 16
const ALLOWED_MS = 30 * 86_400_000
/** As much as a receipt shows of a path. */
const TARGET_CHARACTERS_MAX = 512

interface NewAllowancesParts {
  clock: Clock
  isDecoy (target: string): boolean
}

/**
 * What would let the signs of a receipt pass.
 * @throws NEKO_ERR_INPUT_INVALID unless there are one to 16
 */
export function newAllowances (
  signs: readonly AllowableSign[],
  { assessmentId, actor, endedAt }: { assessmentId: string, actor: string, endedAt: (id: string) => number },
  { clock, isDecoy }: NewAllowancesParts
): StoredAllowance[] {
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
  return signs.map((sign) => {
    const id = `al_${hash('sha256', allowanceKey(sign), 'base64url').slice(0, 22)}`
    // Later than the one that ended, also where the clock went back or stood still.
    const createdAt = Math.max(nowMs, endedAt(id) + 1)
    return { id, ...sign, origin: actor, assessmentId, createdAt, expiresAt: nowMs + ALLOWED_MS }
  })
}
