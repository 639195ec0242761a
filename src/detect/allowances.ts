/**
 * Allowances: a sign that people marked as a false alarm counts for nothing, until the allowance expires: this rule, at
 * this place of this target, in a text of this shape. Pure. Never about a client: what a client does over time
 * (frequency, timing, behaviour) cannot be allowed, since nobody else shares it and an attacker would. Nor is anything
 * that has no text of its own: depth, floods, framing, what lies beyond a bound, the raw bytes of a request in a hurry.
 *
 * A request asks for the allowances of its target in one look-up, and a sign is looked up before the signs of a rule
 * are merged: an allowed one must not stand for the attack beside it.
 */
import { hashText } from '../std/hash.ts'
import { headerOf, viewRequest } from './request-view.ts'
import { shapeOf } from './sign-shape.ts'
import { allowanceKey } from './shapes.ts'
import type { Policy } from './policy.ts'
import type { RequestView } from './request-view.ts'
import type {
  Allowance,
  AllowanceTable,
  Evidence,
  FactorName,
  FactorResult,
  Grade,
  Observation,
  TargetAllowances
} from './shapes.ts'

/** The same policy with these allowances; its version names them by a hash. */
export function withAllowances (policy: Policy, allowances: readonly Allowance[]): Policy {
  const base = policy.version.split('+', 1)[0] as string
  const { allowances: _, ...numbers } = policy
  if (allowances.length === 0) return Object.freeze({ ...numbers, version: base })
  const hash = hashText(allowances.map(allowanceKey).sort().join('\n'), 0x5bd1e995, 1_000_000)
  return Object.freeze({
    ...numbers,
    version: `${base}+${hash.toString(16).padStart(8, '0')}`,
    allowances: tableOf(allowances)
  })
}

function tableOf (allowances: readonly Allowance[]): AllowanceTable {
  const table = new Map<string, Map<string, Set<string>>>()
  for (const { rule, place, target, shape } of allowances) {
    let here = table.get(target)
    if (here === undefined) table.set(target, here = new Map())
    const shapes = here.get(signKey(rule, place))
    if (shapes === undefined) here.set(signKey(rule, place), new Set([shape]))
    else shapes.add(shape)
  }
  return table
}

function signKey (rule: string, place: string): string {
  return `${rule} ${place}`
}

/** What a request is aimed at: a route of ours, or its exact path where none answers. */
export function targetOf ({ route, url }: Pick<Observation, 'route' | 'url'>): string {
  if (route !== null) return `route ${route}`
  const mark = url.indexOf('?')
  return `path ${mark === -1 ? url : url.slice(0, mark)}`
}

/** Those that this request may have, or null: there are none for most requests. */
export function allowancesOf (policy: Policy, observation: Observation): TargetAllowances | null {
  return policy.allowances?.get(targetOf(observation)) ?? null
}

/** True when a sign counts for nothing here. `text`: what it was found in; absent for what has no text of its own. */
export function isAllowed (
  here: TargetAllowances,
  sign: { rule: string, place: string, grade: Grade, text?: string }
): boolean {
  if (sign.text === undefined) return false
  const shapes = here.get(signKey(sign.rule, sign.place))
  return shapes !== undefined && shapes.has(shapeOf(sign, sign.text))
}

/** The results of the factors that keep no text, without what is allowed here; the payload factor asks by itself. */
export function applyAllowances (
  results: FactorResult[],
  observation: Observation,
  here: TargetAllowances
): FactorResult[] {
  const view = viewRequest(observation)
  return results.map((result) => HEAD_FACTORS.has(result.name) ? without(result, observation, view, here) : result)
}

/** What they judge stands in the head of a request. */
const HEAD_FACTORS: ReadonlySet<FactorName> = new Set<FactorName>(['userAgent', 'endpoint', 'headers'])
/** As many as a result shows: behind them there may be more, and nobody could say of which place. */
const EVIDENCE_MAX = 8
/**
 * The most that evidence says whose strongest grade is this: what is left cannot say more than the grade it
 * still has.
 */
const VALUE_MAX = { certain: 1, likely: 0.86, weak: 0.35 }

function without (
  result: FactorResult,
  observation: Observation,
  view: RequestView,
  here: TargetAllowances
): FactorResult {
  if (result.evidence.length === 0 || result.evidence.length >= EVIDENCE_MAX) return result
  const evidence = result.evidence.filter((one) => {
    const text = headTextOf(result.name, one, observation, view)
    return text === null || !isAllowed(here, { ...one, text })
  })
  if (evidence.length === result.evidence.length) return result
  const grade = strongestGrade(evidence)
  return { ...result, evidence, value: grade === null ? 0 : Math.min(result.value, VALUE_MAX[grade]) }
}

/** The framing of a request and its floods: structure, whatever the text. */
const STRUCTURE: ReadonlySet<string> = new Set([
  'headers.two-framings',
  'headers.length',
  'headers.coding',
  'headers.repeated',
  'headers.name',
  'headers.control',
  'headers.ranges'
])

/**
 * The text of a sign outside the payload: what it says, and all that stands at its place. Null where it cannot be
 * allowed. A program's version is none of its name, so a sign that is not certain holds for the next version too.
 */
export function headTextOf (
  factor: FactorName,
  { rule, place, grade, text }: Evidence,
  observation: Observation,
  view: RequestView = viewRequest(observation)
): string | null {
  if (!HEAD_FACTORS.has(factor) || STRUCTURE.has(rule)) return null
  const standing = standingAt(place, observation, view)
  if (standing === null) return null
  const whole = `${text}\n${standing}`
  return factor !== 'endpoint' && grade !== 'certain' ? whole.replace(/\d+/g, '0') : whole
}

function standingAt (place: string, { url, method }: Observation, view: RequestView): string | null {
  if (place === 'path') return view.path
  if (place === 'url') return url
  if (place === 'method') return method
  if (place === 'headers') return ''
  if (!place.startsWith('header.')) return null
  const name = place.slice('header.'.length)
  if (headerOf(view, name) === null) return ''
  return view.values.filter((_value, at) => view.names[at] === name).join('\n')
}

/** The strongest grade among evidence, or null. */
function strongestGrade (evidence: readonly Evidence[]): Grade | null {
  if (evidence.some((one) => one.grade === 'certain')) return 'certain'
  if (evidence.some((one) => one.grade === 'likely')) return 'likely'
  return evidence.length > 0 ? 'weak' : null
}
