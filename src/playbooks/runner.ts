import { createHash } from 'node:crypto'
import type { Audit } from '../audit/shapes.ts'
import type { Decision, DecisionInput, DecisionOrigin } from '../decisions/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Tier } from '../identity/shapes.ts'
import { pause } from '../std/deadline.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import type { Incidents } from '../incidents/incidents.ts'
import { matchPlaybooks, stepsOf, type Match, type ScoreThresholds } from './match.ts'
import type { RunLog } from './run-log.ts'
import type { Notice, Playbook, Run, RunResult, Detection, Step } from './shapes.ts'

/**
 * Runs playbooks: one request's detection in, actions out.
 *
 * Owns: that a playbook acts once per attacker and window, and what each step came to. Never does: decide what matches
 * (match.ts), write incidents (incidents.ts) or send webhooks. What protects (blocks, limits, quarantine) acts from
 * memory before this returns; what tells (the run's record, then incident, webhook, audit) follows behind. A step that
 * fails is tried again up to three times, later and apart, while the others stand.
 */
export interface Actions {
  addDecision (
    input: DecisionInput & { ttlSeconds: number },
    by: DecisionOrigin & { escalates?: boolean }
  ): Decision | null
  hold (client: string, ms: number): void
  limitBlock (tier: Tier, key: string, ms: number): void
  watch (client: string, ms: number): void
  /** What addDecision would do: null when the client is spared. */
  previewDecision (
    input: Pick<DecisionInput, 'scope' | 'value' | 'action'> & { ttlSeconds: number },
    address: string | null
  ): { ttlSeconds: number } | null
  /** False when nobody is to be told. */
  mayNotify (): boolean
  notify (notice: Notice): void
}

export interface Runner {
  /** What fired, highest first; the actions have been taken. Never throws. */
  respond (detection: Detection): Run[]
  /** What one playbook would do, or does, whatever its condition says. */
  runOne (playbook: Playbook, detection: Detection, options: { dryRun: boolean, actor: string }): Run
  /** Whoever was let back in and attacks again is met as if for the first time. */
  forget (attacker: string): void
  /** Resolves when no step waits to be tried again. */
  settled (): Promise<void>
  close (): void
}

export interface RunnerParts {
  playbooks: readonly Playbook[]
  thresholds: ScoreThresholds
  actions: Actions
  incidents: Pick<Incidents, 'join'>
  runLog: RunLog
  audit: Audit
  fleet: Fleet
  clock: Clock
  onRun (run: Run): void
  retryBaseMs?: number
}

/** Attacker-playbook-window keys remembered; the oldest is forgotten first. */
const RECENT_MAX = 50_000
const FORGIVEN_MAX = 10_000
const RETRIES_MAX = 3
const RETRY_BASE_MS = 100
/** Steps that wait to be tried again; beyond it a failure is final at once. */
const RETRYING_MAX = 1_000

export function createRunner (
  {
    playbooks,
    thresholds,
    actions,
    incidents,
    runLog,
    audit,
    fleet,
    clock,
    onRun,
    retryBaseMs = RETRY_BASE_MS
  }: RunnerParts
): Runner {
  const recent = new Map<string, number>()
  const forgiven = new Set<string>()
  const retrying = new Set<Promise<void>>()
  const closing = new AbortController()

  fleet.subscribe('playbooks.ran', (message) => {
    const [key, windowMs] = message as [string, number]
    remember(key, windowMs)
  })

  function remember (key: string, windowMs: number): void {
    recent.delete(key)
    if (recent.size >= RECENT_MAX) recent.delete(recent.keys().next().value as string)
    recent.set(key, clock.monotonic() + windowMs)
  }

  /**
   * True for the first run of this attacker and playbook in its window, over all processes as far as they
   * have told. One that only recorded (a decoy touched at a low score, an attacker whom an allow spared) does
   * not stand in the way of one that blocks.
   */
  function mayRun (match: Match, detection: Detection): boolean {
    const keys = keysOf(match, detection)
    const until = recent.get(keys[0])
    if (until !== undefined && until > clock.monotonic()) return false
    const windowMs = match.playbook.windowSeconds * 1000
    for (const key of keys) {
      remember(key, windowMs)
      fleet.publish('playbooks.ran', [key, windowMs])
    }
    return true
  }

  function respond (detection: Detection): Run[] {
    const runs: Run[] = []
    for (const match of matchPlaybooks(detection, playbooks, thresholds)) {
      if (mayRun(match, detection)) runs.push(run(match, detection, { dryRun: false, actor: 'system' }))
    }
    return runs
  }

  function run (
    { playbook, steps }: Match,
    detection: Detection,
    { dryRun, actor }: { dryRun: boolean, actor: string }
  ): Run {
    const done: Run = {
      id: runId({ playbook, steps }, detection, actor),
      playbook: playbook.name,
      attacker: attackerName(detection),
      at: clock.now(),
      assessmentId: detection.assessmentId,
      result: 'done',
      steps: steps.map((step) => dryRun ? previewStep(step, detection) : take(step, playbook, detection)),
      dryRun
    }
    const result = (): RunResult => worst(done.steps.map((step) => step.result), detection.simulated || dryRun)
    done.result = result()
    if (dryRun) return done
    const finish = (): void => {
      done.result = result()
      runLog.offer(done, () => tell(done, playbook, detection, actor))
    }
    const failed = steps.flatMap((step, i) =>
      done.steps[i]!.result === 'failed'
        ? [async () => {
            done.steps[i] = await takeAgain(step, playbook, detection, done.steps[i]!)
          }]
        : []
    )
    if (failed.length === 0 || retrying.size >= RETRYING_MAX) finish()
    else {
      const work: Promise<void> = Promise.all(failed.map((again) => again())).then(finish).finally(() => {
        retrying.delete(work)
      })
      retrying.add(work)
    }
    return done
  }

  /**
   * One id per attacker, playbook and window, in whichever process; who was let back in meanwhile is another
   * matter, as is a person's run.
   */
  function runId (match: Match, detection: Detection, actor: string): string {
    const window = Math.floor(clock.now() / (match.playbook.windowSeconds * 1000))
    if (actor !== 'system' || forgiven.has(attackerName(detection))) return newId('pr', clock.now())
    return `pr_${createHash('sha256').update(`${keysOf(match, detection)[0]}|${window}`).digest('hex').slice(0, 32)}`
  }

  /**
   * Under which names a run is remembered, its own first: one that blocks, or would if nobody spared the
   * attacker, counts also as one that records.
   */
  function keysOf ({ playbook, steps }: Match, detection: Detection): [string, ...string[]] {
    const recorded = recordedKey(attackerName(detection), playbook)
    const block = steps.find((step) => step.do === 'block')
    if (block === undefined) return [recorded]
    const isSpared = actions.previewDecision(
      { ...detection.attacker, action: 'BLOCK', ttlSeconds: block.ttlSeconds },
      detection.address
    ) === null
    return [recorded + (isSpared ? SPARED_SUFFIX : BLOCKED_SUFFIX), recorded]
  }

  function take (step: Step, playbook: Playbook, detection: Detection, attempts = 1): Run['steps'][number] {
    try {
      return { do: step.do, ...act(step, playbook, detection), attempts }
    } catch (error) {
      return { do: step.do, result: 'failed', detail: (error as Error).message.slice(0, 200), attempts }
    }
  }

  /** Full jitter: what failed together must not come back together. */
  async function takeAgain (
    step: Step,
    playbook: Playbook,
    detection: Detection,
    first: Run['steps'][number]
  ): Promise<Run['steps'][number]> {
    let last = first
    for (let retry = 1; retry <= RETRIES_MAX && last.result === 'failed' && !closing.signal.aborted; retry++) {
      await pause(Math.random() * retryBaseMs * 2 ** retry, closing.signal)
      last = take(step, playbook, detection, retry + 1)
    }
    return last
  }

  function previewStep (step: Step, { attacker, address, crossed }: Detection): Run['steps'][number] {
    const simulated = (detail: string): Run['steps'][number] => ({
      do: step.do,
      result: 'simulated',
      detail,
      attempts: 0
    })
    if (step.do === 'limit' && crossed === null) return { ...simulated(UNCROSSED), result: 'skipped' }
    if ((step.do === 'alert' || step.do === 'escalate') && !actions.mayNotify()) {
      return { ...simulated(UNTOLD), result: 'skipped' }
    }
    if (step.do !== 'block') return simulated(`would ${describeStep(step)}`)
    const preview = actions.previewDecision({ ...attacker, action: 'BLOCK', ttlSeconds: step.ttlSeconds }, address)
    return preview === null
      ? { ...simulated(SPARED), result: 'skipped' }
      : simulated(`would ${describeStep({ ...step, ttlSeconds: preview.ttlSeconds })}`)
  }

  function act (step: Step, playbook: Playbook, detection: Detection): { result: RunResult, detail: string } {
    const { attacker, simulated, assessmentId } = detection
    const by = {
      origin: `playbook:${playbook.name}`,
      simulated,
      assessmentId,
      score: detection.score,
      factor: detection.factor,
      address: detection.address
    }
    const reason = reasonOf(playbook, detection)
    switch (step.do) {
      case 'block': {
        const decision = actions.addDecision({ ...attacker, action: 'BLOCK', ttlSeconds: step.ttlSeconds, reason }, by)
        if (decision === null) return { result: 'skipped', detail: SPARED }
        return {
          result: simulated ? 'simulated' : 'done',
          detail: `blocked until ${new Date(decision.expiresAt as number).toISOString()} by ${decision.id}`
        }
      }
      case 'quarantine': {
        if (!simulated) actions.hold(detection.client, step.seconds * 1000)
        actions.addDecision({ ...attacker, action: 'CHALLENGE', ttlSeconds: step.seconds, reason }, {
          ...by,
          escalates: false
        })
        return { result: simulated ? 'simulated' : 'done', detail: describeStep(step) }
      }
      case 'limit':
        if (detection.crossed === null) return { result: 'skipped', detail: UNCROSSED }
        if (!simulated) actions.limitBlock(detection.crossed.tier, detection.crossed.key, step.seconds * 1000)
        return { result: simulated ? 'simulated' : 'done', detail: describeStep(step) }
      case 'watch':
        actions.watch(detection.client, step.seconds * 1000)
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

  function tell (run: Run, playbook: Playbook, detection: Detection, actor: string): void {
    audit.record({
      category: 'security',
      type: 'playbook.run',
      actor,
      target: run.attacker,
      outcome: run.result === 'failed' ? 'failed' : 'ok',
      assessmentId: detection.assessmentId,
      score: detection.score,
      factor: detection.factor,
      details: {
        playbook: playbook.name,
        run: run.id,
        result: run.result,
        steps: run.steps.map((step) => `${step.do}: ${step.result}`).join(', ')
      }
    })
    onRun(run)
    const does = new Set(run.steps.map((step) => step.do))
    const kind = does.has('escalate') ? 'escalate' : does.has('alert') ? 'alert' : null
    const notice: Notice | null = kind === null
      ? null
      : {
          kind,
          playbook: playbook.name,
          attacker: run.attacker,
          assessmentId: detection.assessmentId,
          score: detection.score,
          reason: reasonOf(playbook, detection),
          simulated: detection.simulated,
          incident: null
        }
    if (!playbook.opensIncident) {
      if (notice !== null) actions.notify(notice)
      return
    }
    incidents.join({
      attacker: run.attacker,
      playbook: playbook.name,
      critical: does.has('escalate'),
      entry: {
        at: run.at,
        actor: actor === 'system' ? `playbook:${playbook.name}` : actor,
        what: timelineText(run, actor),
        assessmentId: detection.assessmentId
      },
      assessmentId: detection.assessmentId,
      evidence: does.has('capture') ? detection.evidence.slice(0, 8) : [],
      notice,
      techniques: does.has('tag')
        ? [...new Set(detection.evidence.flatMap((one) => one.technique === null ? [] : [one.technique]))]
        : []
    })
  }

  return {
    respond,
    runOne: (playbook, detection, options) =>
      run({ playbook, steps: stepsOf(playbook, detection, thresholds) }, detection, options),
    forget (attacker) {
      for (const playbook of playbooks) {
        for (const suffix of ['', BLOCKED_SUFFIX, SPARED_SUFFIX]) {
          recent.delete(recordedKey(attacker, playbook) + suffix)
        }
      }
      if (forgiven.size >= FORGIVEN_MAX) forgiven.delete(forgiven.values().next().value as string)
      forgiven.add(attacker)
    },
    async settled () { await Promise.all(retrying) },
    close: () => closing.abort()
  }
}

const SPARED = 'NEVER_BLOCK or an allow spares this client'
const UNCROSSED = 'no limit was crossed'
const UNTOLD = 'no WEBHOOK_URLS'

const BLOCKED_SUFFIX = '|block'
const SPARED_SUFFIX = '|spared'

function recordedKey (attacker: string, { name }: Playbook): string {
  return `${attacker}|${name}`
}

function timelineText (run: Run, actor: string): string {
  const steps = run.steps.length === 0
    ? 'recorded'
    : run.steps.map((step) => `${step.do} ${step.result}: ${step.detail}`).join('; ')
  return (actor === 'system' ? steps : `ran ${run.playbook}: ${steps}`).slice(0, 500)
}

export function attackerName ({ attacker }: Pick<Detection, 'attacker'>): string {
  return `${attacker.scope.toLowerCase()}:${attacker.value}`
}

function reasonOf (playbook: Playbook, { score, evidence, method, path }: Detection): string {
  const first = evidence[0]
  return `${playbook.name}: score ${score} on ${method} ${path}${
    first === undefined ? '' : `; ${first.text}`
  }`.slice(0, 500)
}

function describeStep (step: Step): string {
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

function worst (results: RunResult[], simulated: boolean): RunResult {
  if (results.includes('failed')) return 'failed'
  if (simulated) return 'simulated'
  return results.length > 0 && results.every((result) => result === 'skipped') ? 'skipped' : 'done'
}
