import type { Detection, Playbook, Run, Step } from './shapes.ts'

/** The words in which people read of runs (pure): reasons of decisions, lines of timelines, descriptions of steps. */
const TEXT_CHARS_MAX = 500

/** The reason of a decision or a message. */
export function reasonOf ({ name }: Playbook, { score, evidence, method, path }: Detection): string {
  const why = evidence[0] === undefined ? '' : `; ${evidence[0].text}`
  return `${name}: score ${score} on ${method} ${path}${why}`.slice(0, TEXT_CHARS_MAX)
}

/** A run as a line of its incident's timeline; what a person ordered names the playbook. */
export function timelineText (run: Run, actor: string): string {
  const steps = run.steps.length === 0
    ? 'recorded'
    : run.steps.map((step) => `${step.do} ${step.result}: ${step.detail}`).join('; ')
  return (actor === 'system' ? steps : `ran ${run.playbook}: ${steps}`).slice(0, TEXT_CHARS_MAX)
}

export function describeStep (step: Step): string {
  switch (step.do) {
    case 'block': return `block for ${step.ttlSeconds} s`
    case 'quarantine': return `hold to the strict tier and challenge for ${step.seconds} s`
    case 'limit': return `refuse by the limit for ${step.seconds} s`
    case 'watch': return `record every request for ${step.seconds} s`
    case 'escalate': return 'make the incident critical and send a webhook'
    case 'alert': return 'send a webhook'
    case 'capture': return 'keep the evidence'
    case 'tag': return 'note the techniques'
  }
}
