/**
 * How long requests take: thread time per KiB, as it was measured. Each client's own, since some send what is
 * dear to read; but never less than the median of all, lest somebody build up credit with cheap ones.
 */
import { BoundedMap } from '../std/bounded-map.ts'

export interface ThreadCost {
  /** Thread time that `bytes` of this client will take, us. */
  predictUs (client: string, bytes: number): number
  /** Thread time that `bytes` of it took. Both are above 0. */
  learn (client: string, bytes: number, cpuUs: number): void
}

/** Some 400 KB. */
const CLIENTS_MAX = 4_096
const MEDIAN_OF = 64
/** The median is worked out anew every so many measurements: a sort of 64 numbers costs some microseconds. */
const MEDIAN_EVERY = 16
/** Before anything was measured: dear text, so that a crowd of unknown ones is no surprise. */
const FIRST_US_PER_KIB = 150
/** Three measurements make half of what is predicted. */
const NEWEST_WEIGHT = 0.3

export function createThreadCost (): ThreadCost {
  const byClient = new BoundedMap<string, number>(CLIENTS_MAX)
  const latest: number[] = []
  let learnt = 0
  let medianUs = FIRST_US_PER_KIB

  return {
    predictUs: (client, bytes) => Math.max(medianUs, byClient.get(client) ?? 0) * bytes / 1024,
    learn (client, bytes, cpuUs) {
      const usPerKib = cpuUs * 1024 / bytes
      const known = byClient.get(client)
      byClient.set(client, known === undefined ? usPerKib : known + (usPerKib - known) * NEWEST_WEIGHT)
      latest[learnt % MEDIAN_OF] = usPerKib
      if (++learnt % MEDIAN_EVERY !== 0) return
      medianUs = latest.toSorted((a, b) => a - b)[latest.length >> 1] as number
    }
  }
}
