import { formOfShape } from '../detect/sign-shape.ts'
import { printable } from './explain.ts'
import type { StoredAllowance } from './shapes.ts'

/** For `neko allowances list`: three lines each. */
export function describeAllowances (allowances: readonly StoredAllowance[]): string {
  if (allowances.length === 0) return 'no allowances\n'
  return allowances.map(describe).map(printable).join('\n') + '\n'
}

function describe ({ id, rule, grade, text, target, shape, origin, assessmentId, expiresAt }: StoredAllowance): string {
  const form = formOfShape(shape)
  return [
    `${id}  until ${new Date(expiresAt).toISOString()}  ${grade} ${rule}`,
    `    ${text} of ${target}: ${form === null ? 'that text alone' : `all texts like ${form}`}`,
    `    by ${origin} from ${assessmentId}`
  ].join('\n')
}
