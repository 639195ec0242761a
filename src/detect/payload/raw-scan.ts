/** STUB: replaced at the merge by the linear scan of raw bytes; the interface stays. */
import type { Observation } from '../shapes.ts'

export interface RawSign { rule: string, grade: 'certain' | 'likely', place: string, match: string }

export function scanRaw (_observation: Pick<Observation, 'url' | 'headers' | 'body'>): RawSign | null {
  return null
}
