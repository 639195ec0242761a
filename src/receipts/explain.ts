/** The printable waterfall of a receipt: where each point of a score comes from. Pure. */
import type { Assessment } from './shapes.ts'
import type { FactorContribution } from '../detect/shapes.ts'

const BAR = 30

/** Several lines, without colour and at most some 160 characters wide. */
export function explainAssessment (assessment: Assessment): string {
  const { id, at, method, path, client, status, source } = assessment
  const lines = [
    `${id}  ${new Date(at).toISOString()}`,
    `${method} ${path}  from ${client}  answered ${status === 0 ? 'nobody (assessed only)' : status}`,
    ''
  ]
  if (source === 'decision' || source === 'limit') lines.push(refusal(assessment))
  else lines.push(...waterfall(assessment.factors), '', ...verdict(assessment))
  lines.push(...remarks(assessment))
  return printable(lines.join('\n')) + '\n'
}

function refusal ({ source, decisionId }: Assessment): string {
  if (source === 'limit') return 'BLOCK before it was scored: over its limit'
  return `BLOCK before it was scored: standing decision ${decisionId ?? '(gone)'}`
}

function waterfall (factors: readonly FactorContribution[]): string[] {
  const lines: string[] = []
  let sum = 0
  const ordered = [...factors].sort((a, b) => b.contribution - a.contribution)
  for (const { name, contribution, evidence } of ordered) {
    if (contribution === 0 && evidence.length === 0) continue
    sum += Math.round(contribution * 100)
    const bar = '#'.repeat(Math.round(contribution / 100 * BAR))
    lines.push(
      `  ${name.padEnd(10)} ${contribution.toFixed(2).padStart(6)}  ${(sum / 100).toFixed(2).padStart(6)}  ${bar}`
    )
    for (const one of evidence) {
      lines.push(
        `      ${one.grade.padEnd(7)} ${one.rule}: ${one.text}${one.technique === null ? '' : ` (${one.technique})`}`
      )
    }
  }
  return lines.length === 0 ? ['  nothing spoke against it'] : ['  factor     points     sum', ...lines]
}

function verdict ({ score, action, simulated, grade, policyVersion, source, degraded }: Assessment): string[] {
  const shadow = simulated ? ' (shadow: nobody was refused)' : ''
  const payload = grade === null ? '' : `, payload evidence ${grade}`
  const late = degraded ? ', degraded: the threads could not answer in time' : ''
  return [
    `  score      ${score.toFixed(2).padStart(6)}  ${action}${shadow}${payload}`,
    `  policy ${policyVersion}, scored by ${source}${late}`
  ]
}

function remarks ({ notInspected, observation, decisionId, source }: Assessment): string[] {
  const lines: string[] = []
  if (decisionId !== null && source !== 'decision') lines.push(`  standing decision ${decisionId}`)
  for (const what of notInspected) lines.push(`  not inspected: ${what}`)
  const masked = observation?.masked ?? []
  if (masked.length > 0) lines.push(`  masked: ${masked.map((one) => one.place).join(', ')}`)
  return lines
}

/** A client's text must not steer the terminal of the person who reads it. */
export function printable (text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '?')
}
