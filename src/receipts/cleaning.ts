/**
 * Receipts that an older version stored, redacted once more by the rules of today, so that what those did not know of
 * does not stay for a month. Additive, and the state is in the receipts themselves: each carries the version of its
 * redaction, so that a run that was killed goes on where it was, one more run does nothing, and what an old process
 * writes beside a new one during a rollout is found by the next.
 *
 * In the background of the first process, portion by portion, since start must not wait for it. Until a receipt's turn
 * has come, it is redacted whenever it is read (lookup.ts).
 */
import { redactFactors } from './redact-evidence.ts'
import { redactObservation, redactPath } from './redact.ts'
import { restoreObservation } from './replay.ts'
import type { MaskedPlace, StoredAssessment } from './shapes.ts'
import type { Slices } from './slices.ts'
import type { Collection, FindOptions } from '../storage/port.ts'

/** Rises when redaction learns to see secrets that receipts may hold. */
export const REDACTION_VERSION = 2
/** Receipts of one portion: each takes some 0.1 ms here and has 60 KB at most. */
const PORTION = 20
/** Between two portions, so that requests come first. */
const PAUSE_MS = 10

interface CleaningParts {
  store: Collection<StoredAssessment>
  slices: Slices
  log: { warn: (facts: object, message: string) => void }
}

export interface Cleaning {
  /** Cleans all that is left to clean; returns how many. Never rejects, and runs once at a time. */
  run (): Promise<number>
  close (): void
}

export function createCleaning ({ store, slices, log }: CleaningParts): Cleaning {
  let running: Promise<number> | null = null
  let isClosed = false

  async function cleanAll (): Promise<number> {
    let cleaned = 0
    for (const outdated of OUTDATED) {
      while (!isClosed) {
        const { items } = await store.find({ ...outdated, first: PORTION })
        if (items.length === 0) break
        const documents = await Promise.all(items.map((stored) => slices.run(() => cleanReceipt(stored))))
        // One that was removed meanwhile comes back, and goes with its time or with the next that are too many.
        await store.putMany(documents)
        cleaned += documents.length
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
    }
    return cleaned
  }

  return {
    run () {
      running ??= cleanAll().catch((error: unknown) => {
        log.warn({ err: error }, 'old receipts could not be cleaned yet')
        return 0
      }).finally(() => { running = null })
      return running
    },
    close () { isClosed = true }
  }
}

/** By index: those of before there were versions, and those of versions before this one. */
export const OUTDATED: ReadonlyArray<Pick<FindOptions, 'where' | 'sort'>> = [
  { where: { redaction: null } },
  { where: { redaction: { lt: REDACTION_VERSION } }, sort: [['redaction', 1]] }
]

/** The receipt as it would be stored today. What it said to be masked stays so. */
export function cleanReceipt<T extends StoredAssessment> (stored: T): T {
  const path = redactPath(stored.path)
  const { observation } = stored
  if (observation === null) {
    return { ...stored, path, factors: redactFactors(stored.factors, null), redaction: REDACTION_VERSION }
  }
  const restored = restoreObservation(stored, observation)
  const redacted = redactObservation(restored, stored)
  return {
    ...stored,
    path,
    factors: redactFactors(stored.factors, restored),
    observation: { ...redacted, masked: joinMasked(observation.masked, redacted.masked) },
    redaction: REDACTION_VERSION
  }
}

function joinMasked (before: readonly MaskedPlace[], now: readonly MaskedPlace[]): MaskedPlace[] {
  const factors = new Map(before.map((one) => [one.place, new Set(one.factors)]))
  for (const one of now) factors.set(one.place, new Set([...factors.get(one.place) ?? [], ...one.factors]))
  return [...factors].map(([place, of]) => ({ place, factors: [...of] }))
}
