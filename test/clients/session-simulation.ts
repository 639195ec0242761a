import { createHistory } from '../../src/clients/history.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import { createDice } from '../../bench/session-scripts.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { History } from '../../src/clients/history.ts'
import type { MakeSession } from '../../bench/session-kinds.ts'
import type { Session, Step } from '../../bench/session-scripts.ts'
import type { Observation, Score } from '../../src/detect/shapes.ts'

/** One session after it was played: the number of the request that was first challenged or blocked, or -1. */
export interface PlayedSession {
  kind: string
  hostile: boolean
  foundAt: number
  scoreMax: number
  automation: boolean
  anomaly: boolean
}

const CHALLENGE = 40
const BLOCK = 75
const STATUS = { ok: 200, 'failed-login': 401, 'bad-token': 401, 'not-found': 404, 'client-error': 400 }

/** Siblings tell each other four times a second. */
const DELTA_MS = 250

/**
 * Plays `count` sessions of each kind at once, interleaved as they would arrive, against history and scorer alone.
 * With several processes every request of a client goes to the next one: the worst that a balancer does.
 */
export function simulateSessions (kinds: MakeSession[], count: number, seed: number, processes = 1): PlayedSession[] {
  const clock = createTestClock()
  const histories = Array.from({ length: processes }, () => createHistory({ clock }))
  let toldMs = 0
  const policy = createPolicy({ sensitivity: 2, challengeThreshold: CHALLENGE, blockThreshold: BLOCK })
  const played: PlayedSession[] = []
  const events: Array<{ atMs: number, index: number, step: Step }> = []
  for (let i = 0; i < count; i++) {
    kinds.forEach((make, j) => {
      const session: Session = make(createDice(seed * 1_000_003 + i * 97 + j))
      const index = played.push({ kind: session.kind, hostile: session.hostile, foundAt: -1, scoreMax: 0, automation: false, anomaly: false }) - 1
      for (const step of session.steps) events.push({ atMs: 5000 + i * 3000 + step.atMs, index, step })
    })
  }
  events.sort((a, b) => a.atMs - b.atMs)
  const counts = played.map(() => 0)
  for (const { atMs, index, step } of events) {
    clock.advance(atMs - clock.monotonic())
    if (processes > 1 && atMs - toldMs >= DELTA_MS) { tell(histories); toldMs = atMs }
    counts[index] = (counts[index] as number) + 1
    const history = histories[(counts[index] as number) % processes] as History
    const observation = observationOf(step, index)
    observation.history = history.observe(observation, { address: step.address })
    const score = scoreObservation(observation, policy)
    note(played[index] as PlayedSession, score, counts[index] as number)
    const action = score.value >= BLOCK ? 'BLOCK' : score.value >= CHALLENGE ? 'CHALLENGE' : 'ALLOW'
    const isHeard = action !== 'BLOCK'
    history.settle({
      client: observation.client,
      address: step.address,
      status: isHeard ? STATUS[step.answer] : 403,
      action,
      score: score.value,
      factors: score.factors,
      failedLogin: isHeard && step.answer === 'failed-login',
      badToken: step.answer === 'bad-token',
      notFound: isHeard && step.answer === 'not-found'
    })
  }
  return played
}

function tell (histories: History[]): void {
  const deltas = histories.map((history) => history.drainDelta())
  histories.forEach((history, i) => deltas.forEach((delta, j) => { if (i !== j && delta !== null) history.absorb(JSON.parse(JSON.stringify(delta)) as typeof delta) }))
}

function note (session: PlayedSession, score: Score, number: number): void {
  if (score.value >= CHALLENGE && session.foundAt === -1) session.foundAt = number
  session.scoreMax = Math.max(session.scoreMax, score.value)
  session.automation ||= score.automation
  session.anomaly ||= score.anomaly
}

function observationOf (step: Step, index: number): Observation {
  return {
    id: 'as_simulated',
    at: 0,
    client: step.as === 'nobody' ? `ip:${step.address}` : `${step.as}:${index}`,
    method: step.method,
    url: step.url,
    headers: ['Host', 'api.shop.example', ...step.headers],
    body: step.body === null ? null : Buffer.from(step.body),
    route: step.url.startsWith('/graphql') ? '/graphql' : null,
    history: null
  }
}
