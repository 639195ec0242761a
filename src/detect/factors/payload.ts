import { isAllowed } from '../allowances.ts'
import { anyOf } from '../../std/regex.ts'
import { EVIDENCE_CHARACTERS_MAX, EVIDENCE_MAX } from '../payload/bounds.ts'
import { LIKELY_MAX, WEAK_MAX, techniqueOf } from '../payload/findings.ts'
import type { Finding } from '../payload/findings.ts'
import { scanRaw, type RawSign } from '../raw-scan/raw-scan.ts'
import { inspectRequest } from '../payload/request.ts'
import type { Beyond, Evidence, FactorResult, Grade, Observation, TargetAllowances } from '../shapes.ts'

/**
 * The payload factor: what a request carries, as values in places, and what attack structure those values hold.
 *
 * Owns: taking a request apart (URL, query, headers, cookies, form, JSON, multipart, XML, text, GraphQL),
 * decoding it as parsers behind us would, and grading what it finds. Never: state, clocks, input or output,
 * exceptions. In: an Observation; out: a factor of 0-1 where 0.75 and more is meant to refuse the request
 * alone, its strongest grade, and what was left out. Why so: structure (tokens, tags, clauses, expressions)
 * tells an attack from prose that names one; a list of strings does not. Grades: `certain` is at least 0.9
 * and may ban; strong `likely` structures that fill a value may refuse one request (0.75-0.86) but never ban;
 * weak signs add up to at most 0.35.
 */
interface PayloadOptions {
  /** 1 calm to 4 strict; 2 is the default of the product. */
  sensitivity: 1 | 2 | 3 | 4
  /** Signs that count for nothing in this request. */
  allowed?: TargetAllowances | null
}

export type PayloadFinding = FactorResult & { grade: Grade | null, notInspected: string[], beyond: Beyond | null }

/** How much signs below `certain` count at each sensitivity. */
const LIKELY_SHARE = { 1: 0.9, 2: 1, 3: 1.08, 4: 1.2 } as const
const WEAK_SHARE = { 1: 0.5, 2: 1, 3: 1.3, 4: 1.8 } as const

/** The payload factor. Linear in the bytes it reads, which are bounded (payload/bounds.ts). */
export function inspectPayload (observation: Observation, options: PayloadOptions): PayloadFinding {
  const inspection = inspectRequest(observation)
  if (inspection.beyond !== null) addRawSign(inspection.findings, observation)
  const findings = strongestPerRule(withoutAllowed(inspection.findings, options.allowed ?? null))
  const grade = findings.length === 0 ? null : strongestGrade(findings)
  return {
    name: 'payload',
    value: combine(findings, grade, options.sensitivity),
    evidence: findings.slice(0, EVIDENCE_MAX).map(evidenceOf),
    grade,
    notInspected: inspection.notInspected,
    beyond: inspection.beyond
  }
}

/** Everything that was found, before the findings of a rule are merged, each with its sentence for a person. */
export function findingsOf (observation: Observation): Array<{ finding: Finding, evidence: Evidence }> {
  return inspectRequest(observation).findings.map((finding) => ({ finding, evidence: evidenceOf(finding) }))
}

function withoutAllowed (findings: Finding[], allowed: TargetAllowances | null): Finding[] {
  return allowed === null ? findings : findings.filter((finding) => !isAllowed(allowed, finding))
}

/** What lies beyond a bound is the client's doing: the raw bytes of the whole request decide, in one linear pass. */
function addRawSign (findings: Finding[], observation: Observation): void {
  const sign = scanRaw(observation, { isBeyond: true })
  if (sign !== null) findings.push(findingOf(sign))
}

const RANK = { certain: 2, likely: 1, weak: 0 } as const

function strongestPerRule (findings: Finding[]): Finding[] {
  if (findings.length < 2) return findings
  findings.sort((left, right) => RANK[right.grade] - RANK[left.grade] || right.value - left.value)
  const rules = new Set<string>()
  return findings.filter((finding) => !rules.has(finding.rule) && rules.add(finding.rule))
}

function strongestGrade (findings: Finding[]): Grade {
  return (findings[0] as Finding).grade
}

/**
 * The strongest sign counts in full; further rules fill a falling share of what is left to the cap of the
 * strongest grade. So several likely structures in one request reach the block threshold, and weak ones never
 * do.
 */
function combine (findings: Finding[], grade: Grade | null, sensitivity: 1 | 2 | 3 | 4): number {
  if (grade === null) return 0
  const cap = grade === 'certain' ? 1 : grade === 'likely' ? LIKELY_MAX : WEAK_MAX
  let value = 0
  let share = 1
  for (const finding of findings.slice(0, EVIDENCE_MAX)) {
    const factor = finding.grade === 'certain'
      ? 1
      : finding.grade === 'likely'
        ? LIKELY_SHARE[sensitivity]
        : WEAK_SHARE[sensitivity]
    value += (cap - value) * Math.min(1, finding.value * factor / cap) * share
    share *= 0.4
  }
  return Math.min(cap, Math.round(value * 10_000) / 10_000)
}

/**
 * What a sign of the raw bytes alone makes of this factor: a refusal, or a challenge, since bytes out of their place
 * have more readings.
 */
export const RAW_VALUES = { certain: 0.95, likely: 0.55 } as const

/** A sign of the raw bytes, as receipts show it. */
export function evidenceOfSign (sign: RawSign): Evidence {
  return evidenceOf(findingOf(sign))
}

function findingOf (sign: RawSign): Finding {
  return { ...sign, value: RAW_VALUES[sign.grade], technique: techniqueOf(sign.rule) }
}

const SECRET_PLACE = anyOf([
  /pass|pwd|secret|token|auth|session|sess\b|api[-_]?key|credential|card|cvv|cvc|ssn|otp|\bpin\b|private/,
  /^cookie\.|signature|jwt/
], 'i')

/** One sentence for a person. The value is shown as the structure that matched, and not at all where secrets live. */
function evidenceOf (finding: Finding): Evidence {
  const shown = SECRET_PLACE.test(finding.place) ? 'matched (masked)' : `matched "${printable(finding.match)}"`
  const text = `${shown} in ${finding.place}`
  return {
    rule: finding.rule,
    place: finding.place,
    grade: finding.grade,
    text: text.length > EVIDENCE_CHARACTERS_MAX ? text.slice(0, EVIDENCE_CHARACTERS_MAX - 1) + '…' : text,
    technique: finding.technique
  }
}

/** Characters of a match: the longest piece that a detector shows, its last word whole. */
const SHOWN_MAX = 80

/** No control characters in receipts and logs; long runs of digits are hidden, since they may be a card's. */
function printable (match: string): string {
  const shown = match.length > SHOWN_MAX ? match.slice(0, SHOWN_MAX - 1) + '…' : match
  return shown.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029"]/g, ' ').replace(/\d{9,}/g, '#')
}
