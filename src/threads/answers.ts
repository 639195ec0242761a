import { scoreCheaply, scoreInHurry } from './hurry.ts'
import type { Answer, Later, Unjudged, Waiting } from './shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Score } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'

/**
 * The answers of a pool: each request gets exactly one, and those that were answered before a thread was through with
 * them are told of the rest.
 */
export interface Answers {
  /** A thread is through with it; null: the scorer threw. */
  full (waiting: Waiting, score: Score | null): void
  /** There is no verdict, and that is not our doing. */
  refuse (waiting: Waiting, unjudged: Unjudged): void
  /** Refused while a thread goes on with it: what becomes of it is told afterwards. */
  refuseForNow (waiting: Waiting, unjudged: Unjudged): void
  /** Answers without a thread. `comesLater`: one will still give the full score. */
  inHurry (waiting: Waiting, comesLater: boolean): void
  /** Answered requests that a thread is still to be through with. */
  owed (): number
}

interface AnswersParts {
  clock: Pick<Clock, 'monotonic'>
  policy (): Policy
  onScored?: ((seconds: number, answer: Answer) => void) | undefined
}

export function createAnswers ({ clock, policy, onScored }: AnswersParts): Answers {
  let owed = 0

  function answer (waiting: Waiting, given: Answer): void {
    waiting.answered = true
    onScored?.((clock.monotonic() - waiting.startedMs) / 1000, given)
    waiting.resolve(given)
  }

  /** What comes after the answer. The memory of the body is given back with the answer, so it gets one of its own. */
  function laterOf (waiting: Waiting): Promise<Later> {
    const { promise, resolve } = Promise.withResolvers<Later>()
    const { body } = waiting.observation
    if (body !== null) waiting.observation = { ...waiting.observation, body: new Uint8Array(body) }
    waiting.later = resolve
    owed++
    return promise
  }

  function tell (waiting: Waiting, later: Later): void {
    if (waiting.later === null) return
    waiting.later(later)
    waiting.later = null
    owed--
  }

  function inHurry (waiting: Waiting, comesLater: boolean): void {
    if (waiting.answered) return tell(waiting, { score: null, exhausts: false })
    const score = scoreInHurry(waiting.observation, policy())
    answer(waiting, { score, unjudged: null, later: comesLater ? laterOf(waiting) : null })
  }

  return {
    full (waiting, score) {
      if (waiting.answered) tell(waiting, { score, exhausts: false })
      else if (score === null) inHurry(waiting, false)
      else answer(waiting, { score, unjudged: null, later: null })
    },
    refuse (waiting, unjudged) {
      if (waiting.answered) return tell(waiting, { score: null, exhausts: unjudged === 'exhausts' })
      answer(waiting, { score: scoreCheaply(waiting.observation, policy()), unjudged, later: null })
    },
    refuseForNow (waiting, unjudged) {
      const score = scoreCheaply(waiting.observation, policy())
      answer(waiting, { score, unjudged, later: laterOf(waiting) })
    },
    inHurry,
    owed: () => owed
  }
}
