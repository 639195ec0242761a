/**
 * The scoring policy: every weight and threshold in one object, so that a receipt's `policyVersion` says exactly by
 * which numbers a score was made. Pure data; made once at start, frozen, cloned to the threads.
 *
 * How a score comes about: each factor gives a value 0-1, which is the score (in hundredths of 100) that it would give
 * alone. `ceilings` bound what a factor may say alone: the ones that ordinary life can trip stay below the challenge
 * threshold. Values are then combined as independent evidence (noisy-or): 1 - product of (1 - value).
 */
import { AGENTS_VERSION } from './signs/agents.ts'
import { hashText, mixHash } from '../std/hash.ts'
import type { AllowanceTable, FactorName } from './shapes.ts'

export type Sensitivity = 1 | 2 | 3 | 4

export interface Policy {
  /** Signs that count for nothing, see allowances.ts; absent when there are none. */
  allowances?: AllowanceTable
  /** `<date of the rules>-s<sensitivity>-<hash of all numbers>`. */
  version: string
  sensitivity: Sensitivity
  /** 0-100. */
  challengeThreshold: number
  blockThreshold: number
  /** The most a factor may say alone, 0-1. */
  ceilings: { [name in FactorName]: number }
  /** Multiplies the evidence of values below `strongValue` (as log-odds do), by sensitivity 1-4. */
  evidenceScale: number
  /** From here a value stands for itself and sensitivity never weakens it. */
  strongValue: number
  /** Sum of frequency and timing points that `automation` needs. */
  paceBar: number
  /** Sum of frequency, timing and behaviour points from which `automation` is true, given breadth. */
  automationBar: number
  /** Behaviour points from which `anomaly` is true. */
  anomalyBar: number
}

interface PolicyOptions {
  sensitivity: Sensitivity
  challengeThreshold: number
  blockThreshold: number
}

/** The day the rules of this source last changed their meaning. */
const RULES_VERSION = '2026.11.30'
const EVIDENCE_SCALES = { 1: 0.75, 2: 1, 3: 1.25, 4: 1.6 }

/** The one policy of a process. Bounds are checked by config.ts. */
export function createPolicy (options: PolicyOptions): Policy {
  const numbers = {
    sensitivity: options.sensitivity,
    challengeThreshold: options.challengeThreshold,
    blockThreshold: options.blockThreshold,
    // Frequency and timing are what pollers, offices and monitors trip every day: alone they stay an observation.
    ceilings: {
      frequency: 0.36,
      userAgent: 0.92,
      endpoint: 0.9,
      headers: 0.9,
      timing: 0.34,
      payload: 1,
      behavior: 0.9
    },
    evidenceScale: EVIDENCE_SCALES[options.sensitivity],
    strongValue: 0.75,
    paceBar: 8,
    automationBar: 45,
    anomalyBar: 30
  }
  const hash = mixHash(hashText(JSON.stringify(numbers)), hashText(AGENTS_VERSION))
  return Object.freeze({
    ...numbers,
    version: `${RULES_VERSION}-s${options.sensitivity}-${hash.toString(16).padStart(8, '0')}`
  })
}
