/** Observations on their way to a thread, for the tests of what stands before it. */
import { observation } from '../detect/observations.ts'
import type { Answer, Waiting } from '../../src/threads/shapes.ts'
import type { Observation } from '../../src/detect/shapes.ts'

export function waiting (override: Partial<Observation> = {}, resolve: (answer: Answer) => void = () => {}): Waiting {
  const seen = observation(override)
  return {
    observation: seen,
    ask: { client: seen.client, secondTry: true, patient: false },
    startedMs: 0,
    dueMs: 150,
    answered: false,
    resolve,
    later: null,
    isSecondTry: false,
    hasExhausted: false
  }
}
