import { addSign, type Signs } from '../evidence.ts'
import type { HistorySnapshot } from '../history-shapes.ts'

/** One may be an accident; whoever does it again within ten minutes is challenged for it. */
const ONCE = 0.15
const AGAIN = 0.6

/** A client whose requests used up the time of scoring threads: no ordinary text does, whatever it says. */
export function addExhaustingSigns (history: HistorySnapshot | null, signs: Signs): void {
  const times = history?.exhausts600s ?? 0
  if (!(times >= 1)) return
  const text = `requests that no thread could finish, ${times} within ten minutes`
  addSign(signs, times >= 2 ? AGAIN : ONCE, 'endpoint.exhausts', 'client', text, 'T1499.003')
}
