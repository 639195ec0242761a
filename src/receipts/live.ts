/**
 * Receipts as they are made, over all processes, for whoever watches. Costs nothing while nobody does: a process with
 * subscribers says so every two seconds, and its siblings tell it of what reaches the lowest score that is wanted.
 * Bounded per process and second, because under attack every request would be shown; `threats` has what was stored.
 */
import type { AddedListener } from './intake.ts'
import type { Assessment } from './shapes.ts'
import type { Slices } from './slices.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Clock, Timer } from '../std/clock.ts'
import { createPerSecond } from '../std/per-second.ts'
import type { Json } from '../std/json.ts'

export interface Live {
  /**
   * Told of each receipt from `minScore` on, made here or by a sibling, its observation left out. Returns the
   * unsubscribe.
   */
  subscribe (minScore: number, push: (assessment: Assessment) => void): () => void
  close (): void
}

export interface LiveParts {
  fleet: Fleet
  clock: Clock
  slices: Slices
  onAdded (listener: AddedListener): () => void
  log: { error: (facts: object, message: string) => void }
}

/** Of one process, its own subscribers and the siblings' together. A receipt costs 50 us to redact and 2 kB to send. */
export const SHOWN_PER_SECOND_MAX = 50
const WANTED_EVERY_MS = 2_000
/** A process that went away without a word is forgotten. */
const WANTED_MS = 5_000
const SIBLINGS_MAX = 256
const WANTED_TOPIC = 'assessments.wanted'
const ADDED_TOPIC = 'assessments.added'

export function createLive ({ fleet, clock, slices, onAdded, log }: LiveParts): Live {
  const subscribers = new Set<{ minScore: number, push (assessment: Assessment): void }>()
  const wanted = new Map<string, { minScore: number, untilMs: number }>()
  let stopListening: (() => void) | null = null
  let timer: Timer | null = null
  const shown = createPerSecond(clock, SHOWN_PER_SECOND_MAX)

  const hear: AddedListener = (receipt, describe) => {
    const score = 'score' in receipt ? receipt.score.value : 0
    const isHere = isWantedHere(score)
    const isElsewhere = isWantedElsewhere(score)
    if ((!isHere && !isElsewhere) || !shown.take()) return
    slices.run(() => {
      const assessment = { ...describe(), observation: null }
      if (isHere) push(assessment)
      if (isElsewhere) fleet.publish(ADDED_TOPIC, assessment as unknown as Json)
    }).catch((error: unknown) => log.error({ err: error }, 'a receipt could not be shown'))
  }

  function isWantedHere (score: number): boolean {
    for (const { minScore } of subscribers) if (score >= minScore) return true
    return false
  }

  function isWantedElsewhere (score: number): boolean {
    if (wanted.size === 0) return false
    const now = clock.monotonic()
    let isWanted = false
    for (const [processId, { minScore, untilMs }] of wanted) {
      if (untilMs <= now) wanted.delete(processId)
      else isWanted ||= score >= minScore
    }
    listenWhileWanted()
    return isWanted
  }

  function push (assessment: Assessment): void {
    for (const subscriber of subscribers) if (assessment.score >= subscriber.minScore) subscriber.push(assessment)
  }

  function listenWhileWanted (): void {
    if (subscribers.size + wanted.size > 0) stopListening ??= onAdded(hear)
    else {
      stopListening?.()
      stopListening = null
    }
  }

  function announce (): void {
    const minScore = Math.min(...[...subscribers].map((one) => one.minScore))
    if (fleet.processCount() > 1) fleet.publish(WANTED_TOPIC, minScore)
  }

  const forgetWanted = fleet.subscribe(WANTED_TOPIC, (minScore, processId) => {
    if (typeof minScore !== 'number' || (wanted.size >= SIBLINGS_MAX && !wanted.has(processId))) return
    wanted.set(processId, { minScore, untilMs: clock.monotonic() + WANTED_MS })
    listenWhileWanted()
  })
  const forgetAdded = fleet.subscribe(ADDED_TOPIC, (assessment) => push(assessment as unknown as Assessment))

  return {
    subscribe (minScore, push) {
      const subscriber = { minScore, push }
      subscribers.add(subscriber)
      listenWhileWanted()
      announce()
      timer ??= clock.every(WANTED_EVERY_MS, announce)
      return () => {
        subscribers.delete(subscriber)
        listenWhileWanted()
        if (subscribers.size > 0) return
        timer?.cancel()
        timer = null
      }
    },
    close () {
      timer?.cancel()
      stopListening?.()
      forgetWanted()
      forgetAdded()
    }
  }
}
