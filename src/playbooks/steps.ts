import type { Decision, DecisionInput, DecisionOrigin } from '../decisions/shapes.ts'
import type { Tier } from '../identity/shapes.ts'
import type { Notice } from '../webhooks/shapes.ts'
import type { Detection, Playbook, RunResult, Step, StepOutcome } from './shapes.ts'
import { describeStep, reasonOf } from './wording.ts'

/**
 * One step of a playbook: its action, and the preview of it. Acts through `Actions` only: the services of other rooms,
 * handed over when the room is built. `capture`, `tag`, `alert` and `escalate` act with the run's report
 * (run-report.ts), once the run is known to be this process'.
 */
export interface Actions {
  addDecision (
    input: DecisionInput & { ttlSeconds: number },
    by: DecisionOrigin & { escalates?: boolean }
  ): Decision | null
  hold (client: string, ms: number): void
  limitBlock (tier: Tier, key: string, ms: number): void
  watch (client: string, ms: number): void
  /** The decision that addDecision would make; null when the client is spared. */
  previewDecision (
    input: Pick<DecisionInput, 'scope' | 'value' | 'action'> & { ttlSeconds: number },
    address: string | null
  ): { ttlSeconds: number } | null
  /** False when nobody is to be told. */
  mayNotify (): boolean
  notify (notice: Notice): void
}

/** Why a step is taken. */
interface Cause {
  playbook: Playbook
  detection: Detection
  /** It would make more standing decisions than its submitter may have. */
  withheld: boolean
}

const SPARED = 'NEVER_BLOCK or an allow spares this client'
const UNNAMED = 'TRUST_PROXY does not name this private proxy, whose clients share its address'
/** How long a proxy is blocked that stands before several callers. */
const SHARED_SECONDS_MAX = 600
const UNCROSSED = 'no limit was crossed'
const WITHHELD = 'whoever handed it in has had 60 standing decisions within a minute'
const UNTOLD = 'no WEBHOOK_URLS'
const DETAIL_CHARS_MAX = 200

/** Takes the step now. Never throws: a step that throws has failed. */
export function takeStep (actions: Actions, step: Step, cause: Cause, attempts: number): StepOutcome {
  try {
    const outcome = cause.withheld && decides(actions, step, cause.detection)
      ? { result: 'skipped' as const, detail: WITHHELD }
      : act(actions, step, cause)
    return { do: step.do, ...outcome, attempts }
  } catch (error) {
    return { do: step.do, result: 'failed', detail: (error as Error).message.slice(0, DETAIL_CHARS_MAX), attempts }
  }
}

/** Whether the step would make a standing decision. */
export function decides (actions: Actions, step: Step, detection: Detection): boolean {
  if (step.do === 'quarantine') return !isSparedQuarantine(actions, step.seconds, detection)
  return step.do === 'block' && !isSpared(actions, step.ttlSeconds, detection)
}

/** A caller of ours may be held wherever it is; on another's word nobody is whom NEVER_BLOCK names. */
function isSparedQuarantine (actions: Actions, seconds: number, detection: Detection): boolean {
  return detection.submitter !== undefined && isSpared(actions, seconds, detection)
}

/** Also asked by claims: a run that is spared does not stand in the way of one that blocks. */
export function isSpared (
  actions: Pick<Actions, 'previewDecision'>,
  ttlSeconds: number,
  { attacker, address, proxy }: Detection
): boolean {
  return proxy === 'private' || actions.previewDecision({ ...attacker, action: 'BLOCK', ttlSeconds }, address) === null
}

function act (actions: Actions, step: Step, cause: Cause): Pick<StepOutcome, 'result' | 'detail'> {
  const { client, crossed, proxy, simulated } = cause.detection
  const result: RunResult = simulated ? 'simulated' : 'done'
  switch (step.do) {
    case 'block': return block(actions, step.ttlSeconds, cause)
    case 'quarantine':
      if (proxy === 'private') return { result: 'skipped', detail: UNNAMED }
      if (isSparedQuarantine(actions, step.seconds, cause.detection)) return { result: 'skipped', detail: SPARED }
      quarantine(actions, step.seconds, cause)
      return { result, detail: describeStep(step) }
    case 'limit':
      if (crossed === null) return { result: 'skipped', detail: UNCROSSED }
      if (!simulated) actions.limitBlock(crossed.tier, crossed.key, step.seconds * 1000)
      return { result, detail: describeStep(step) }
    case 'watch':
      actions.watch(client, step.seconds * 1000)
      return { result: 'done', detail: describeStep(step) }
    case 'escalate':
    case 'alert':
      return actions.mayNotify()
        ? { result: 'done', detail: 'a webhook goes out with the incident' }
        : { result: 'skipped', detail: UNTOLD }
    case 'capture':
    case 'tag':
      return { result: 'done', detail: describeStep(step) }
  }
}

function block (actions: Actions, ttlSeconds: number, cause: Cause): Pick<StepOutcome, 'result' | 'detail'> {
  const { attacker, proxy, simulated } = cause.detection
  if (proxy === 'private') return { result: 'skipped', detail: UNNAMED }
  const isShared = proxy === 'shared'
  const decision = actions.addDecision(
    {
      ...attacker,
      action: 'BLOCK',
      ttlSeconds: isShared ? Math.min(ttlSeconds, SHARED_SECONDS_MAX) : ttlSeconds,
      reason: reasonOf(cause.playbook, cause.detection)
    },
    { ...originOf(cause), escalates: !isShared }
  )
  if (decision === null) return { result: 'skipped', detail: SPARED }
  const until = new Date(decision.expiresAt as number).toISOString()
  return { result: simulated ? 'simulated' : 'done', detail: `blocked until ${until} by ${decision.id}` }
}

function quarantine (actions: Actions, ttlSeconds: number, cause: Cause): void {
  const { attacker, client, simulated } = cause.detection
  if (!simulated) actions.hold(client, ttlSeconds * 1000)
  actions.addDecision(
    { ...attacker, action: 'CHALLENGE', ttlSeconds, reason: reasonOf(cause.playbook, cause.detection) },
    { ...originOf(cause), escalates: false }
  )
}

function originOf ({ playbook, detection }: Cause): DecisionOrigin {
  const { simulated, assessmentId, score, factor, address } = detection
  return { origin: `playbook:${playbook.name}`, simulated, assessmentId, score, factor, address }
}

/** The outcome that taking the step would have. Acts on nothing. */
export function previewStep (actions: Actions, step: Step, { attacker, address, crossed }: Detection): StepOutcome {
  const simulated = (detail: string): StepOutcome => ({ do: step.do, result: 'simulated', detail, attempts: 0 })
  const skipped = (detail: string): StepOutcome => ({ do: step.do, result: 'skipped', detail, attempts: 0 })
  switch (step.do) {
    case 'block': {
      const preview = actions.previewDecision({ ...attacker, action: 'BLOCK', ttlSeconds: step.ttlSeconds }, address)
      return preview === null
        ? skipped(SPARED)
        : simulated(`would ${describeStep({ ...step, ttlSeconds: preview.ttlSeconds })}`)
    }
    case 'limit':
      if (crossed === null) return skipped(UNCROSSED)
      break
    case 'escalate':
    case 'alert':
      if (!actions.mayNotify()) return skipped(UNTOLD)
      break
  }
  return simulated(`would ${describeStep(step)}`)
}
