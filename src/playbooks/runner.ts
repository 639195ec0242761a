import type { Audit } from '../audit/shapes.ts'
import type { Decision, DecisionInput, DecisionOrigin } from '../decisions/shapes.ts'
import type { Fleet } from '../cluster/fleet.ts'
import type { Tier } from '../identity/shapes.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import type { Incidents } from './incidents.ts'
import { matchPlaybooks, type Match } from './match.ts'
import type { Playbook, Run, RunResult, Sighting, Step } from './shapes.ts'

/**
 * Runs playbooks: one request's sighting in, actions out.
 *
 * Owns: that a playbook acts once per attacker and window, and what each step came to. Never does: decide what matches
 * (match.ts), write incidents (incidents.ts) or send webhooks. What protects (blocks, limits, quarantine) acts from
 * memory before this returns; what tells (incident, webhook, audit, the run's record) follows behind.
 */
export interface Actions {
  addDecision (input: DecisionInput & { ttlSeconds: number }, by: DecisionOrigin & { escalates?: boolean }): Decision | null
  hold (client: string, ms: number): void
  limitBlock (tier: Tier, key: string, ms: number): void
  watch (client: string, ms: number): void
  /** Queues a webhook; false when nobody is to be told. */
  notify (what: { kind: 'alert' | 'escalate', playbook: string, attacker: string, assessmentId: string, score: number, reason: string }): boolean
}

export interface Runner {
  /** What fired, highest first; the actions have been taken. Never throws. */
  sight (sighting: Sighting): Run[]
  /** What one playbook would do, or does, whatever its condition says. */
  runOne (playbook: Playbook, sighting: Sighting, options: { dryRun: boolean, actor: string }): Run
}

export interface RunnerParts {
  playbooks: readonly Playbook[]
  blockThreshold: number
  actions: Actions
  incidents: Incidents
  audit: Audit
  fleet: Fleet
  clock: Clock
  onRun (run: Run): void
}

/** Attacker-playbook-window keys remembered; the oldest is forgotten first. */
const RECENT_MAX = 50_000
const ATTEMPTS_MAX = 3

export function createRunner ({ playbooks, blockThreshold, actions, incidents, audit, fleet, clock, onRun }: RunnerParts): Runner {
  const recent = new Map<string, number>()

  fleet.subscribe('playbooks.ran', (message) => {
    const [key, windowMs] = message as [string, number]
    remember(key, windowMs)
  })

  function remember (key: string, windowMs: number): void {
    recent.delete(key)
    if (recent.size >= RECENT_MAX) recent.delete(recent.keys().next().value as string)
    recent.set(key, clock.monotonic() + windowMs)
  }

  /** True for the first run of this attacker and playbook in its window, over all processes as far as they have told. */
  function claims (playbook: Playbook, sighting: Sighting): boolean {
    const key = `${attackerName(sighting)}|${playbook.name}`
    const until = recent.get(key)
    if (until !== undefined && until > clock.monotonic()) return false
    remember(key, playbook.windowSeconds * 1000)
    fleet.publish('playbooks.ran', [key, playbook.windowSeconds * 1000])
    return true
  }

  function sight (sighting: Sighting): Run[] {
    const runs: Run[] = []
    for (const match of matchPlaybooks(sighting, playbooks, blockThreshold)) {
      if (claims(match.playbook, sighting)) runs.push(run(match, sighting, { dryRun: false, actor: 'system' }))
    }
    return runs
  }

  function run ({ playbook, steps }: Match, sighting: Sighting, { dryRun, actor }: { dryRun: boolean, actor: string }): Run {
    const done: Run = {
      id: newId('pr', clock.now()),
      playbook: playbook.name,
      attacker: attackerName(sighting),
      at: clock.now(),
      assessmentId: sighting.assessmentId,
      result: 'done',
      steps: steps.map((step) => take(step, playbook, sighting, dryRun)),
      dryRun
    }
    done.result = worst(done.steps.map((step) => step.result), sighting.simulated || dryRun)
    if (dryRun) return done
    tell(done, playbook, sighting, actor)
    onRun(done)
    return done
  }

  /** A step that throws is tried three times at once: what may fail for longer (webhooks, the store) is queued behind and retries there. */
  function take (step: Step, playbook: Playbook, sighting: Sighting, dryRun: boolean): Run['steps'][number] {
    if (dryRun) return { do: step.do, result: 'simulated', detail: `would ${words(step)}`, attempts: 0 }
    let problem = ''
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      try {
        return { do: step.do, ...act(step, playbook, sighting), attempts: attempt }
      } catch (error) {
        problem = (error as Error).message.slice(0, 200)
      }
    }
    return { do: step.do, result: 'failed', detail: problem, attempts: ATTEMPTS_MAX }
  }

  function act (step: Step, playbook: Playbook, sighting: Sighting): { result: RunResult, detail: string } {
    const { attacker, simulated, assessmentId } = sighting
    const by = { origin: `playbook:${playbook.name}`, simulated, assessmentId }
    const reason = reasonOf(playbook, sighting)
    switch (step.do) {
      case 'block': {
        const decision = actions.addDecision({ ...attacker, action: 'BLOCK', ttlSeconds: step.ttlSeconds, reason }, by)
        if (decision === null) return { result: 'skipped', detail: 'NEVER_BLOCK or an allow spares this client' }
        return { result: simulated ? 'simulated' : 'done', detail: `blocked until ${new Date(decision.expiresAt as number).toISOString()} by ${decision.id}` }
      }
      case 'quarantine': {
        if (!simulated) actions.hold(sighting.client, step.seconds * 1000)
        actions.addDecision({ ...attacker, action: 'CHALLENGE', ttlSeconds: step.seconds, reason }, { ...by, escalates: false })
        return { result: simulated ? 'simulated' : 'done', detail: words(step) }
      }
      case 'limit':
        if (sighting.crossed === null) return { result: 'skipped', detail: 'no limit was crossed' }
        actions.limitBlock(sighting.crossed.tier, sighting.crossed.key, step.seconds * 1000)
        return { result: 'done', detail: words(step) }
      case 'watch':
        actions.watch(sighting.client, step.seconds * 1000)
        return { result: 'done', detail: words(step) }
      case 'escalate':
      case 'alert': {
        const queued = actions.notify({ kind: step.do, playbook: playbook.name, attacker: attackerName(sighting), assessmentId, score: sighting.score, reason })
        return { result: queued ? 'done' : 'skipped', detail: queued ? 'a webhook was queued' : 'no WEBHOOK_URLS' }
      }
      case 'capture':
      case 'tag':
        return { result: 'done', detail: words(step) }
    }
  }

  function tell (run: Run, playbook: Playbook, sighting: Sighting, actor: string): void {
    audit.record({
      category: 'security',
      type: 'playbook.run',
      actor,
      target: run.attacker,
      outcome: run.result === 'failed' ? 'failed' : 'ok',
      assessmentId: sighting.assessmentId,
      score: sighting.score,
      factor: sighting.factor,
      details: { playbook: playbook.name, run: run.id, result: run.result, steps: run.steps.map((step) => `${step.do}: ${step.result}`).join(', ') }
    })
    if (!playbook.opensIncident) return
    const does = new Set(run.steps.map((step) => step.do))
    incidents.join({
      attacker: run.attacker,
      playbook: playbook.name,
      critical: does.has('escalate'),
      entry: { at: run.at, actor: `playbook:${playbook.name}`, what: run.steps.length === 0 ? 'recorded' : run.steps.map((step) => `${step.do} ${step.result}: ${step.detail}`).join('; ').slice(0, 500), assessmentId: sighting.assessmentId },
      assessmentId: sighting.assessmentId,
      evidence: does.has('capture') ? sighting.evidence.slice(0, 8) : [],
      techniques: does.has('tag') ? [...new Set(sighting.evidence.flatMap((one) => one.technique === null ? [] : [one.technique]))] : []
    })
  }

  return {
    sight,
    runOne: (playbook, sighting, options) => run({ playbook, steps: playbook.steps, blocks: false }, sighting, options)
  }
}

export function attackerName ({ attacker }: Pick<Sighting, 'attacker'>): string {
  return `${attacker.scope.toLowerCase()}:${attacker.value}`
}

function reasonOf (playbook: Playbook, { score, evidence, method, path }: Sighting): string {
  const first = evidence[0]
  return `${playbook.name}: score ${score} on ${method} ${path}${first === undefined ? '' : `; ${first.text}`}`.slice(0, 500)
}

function words (step: Step): string {
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
