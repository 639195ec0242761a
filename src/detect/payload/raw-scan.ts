import type { Observation } from '../shapes.ts'

/** The strongest sign in the raw bytes of a request, read without taking it apart; null when there is none. */
export interface RawSign { rule: string, grade: 'certain' | 'likely', place: string, match: string }

export function scanRaw (_observation: Pick<Observation, 'url' | 'headers' | 'body'>): RawSign | null {
  return null
}
