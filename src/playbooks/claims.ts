import { createHash } from 'node:crypto'
import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import type { Match } from './match.ts'
import { attackerName, type Detection, type Playbook } from './shapes.ts'
import { isSpared, type Actions } from './steps.ts'

/**
 * Claims of runs: a playbook runs once per attacker and window, over all processes as far as they have told. A claim
 * is remembered under the run's own key, which says whether it blocks, and is spared, or only records:
 *
 * - a run that only recorded (a decoy touched at a low score, an attacker whom an allow spared, a decision beyond what
 *   its submitter may have) does not stand in the way of one that blocks;
 * - a run that blocks, or would if nobody spared the attacker, counts also as one that records.
 *
 * Bounded: the oldest claims and pardons are forgotten first.
 */
const CLAIMS_MAX = 50_000
const PARDONS_MAX = 10_000

const BLOCKED_SUFFIX = '|block'
const SPARED_SUFFIX = '|spared'

interface ClaimParts {
  fleet: Fleet
  clock: Clock
  /** Asked whether an attacker would be spared. */
  actions: Pick<Actions, 'previewDecision'>
}

export class Claims {
  readonly #parts: ClaimParts
  /** Key of a run -> the end of its window, monotonic. */
  readonly #claimedUntilMs = new BoundedMap<string, number>(CLAIMS_MAX)
  /** Attackers who were let back in. */
  readonly #pardoned = new BoundedMap<string, true>(PARDONS_MAX)

  constructor (parts: ClaimParts) {
    this.#parts = parts
    parts.fleet.subscribe('playbooks.ran', (message) => {
      const [key, windowMs] = message as [string, number]
      this.#remember(key, windowMs)
    })
  }

  /**
   * True for the first run of this attacker and playbook in its window: it is this process' now.
   * @param withheld it decides nothing, so that it does not stand in the way of one that may
   */
  claim (match: Match, detection: Detection, withheld: boolean): boolean {
    const { fleet } = this.#parts
    const keys = this.#keysOf(match, detection, withheld)
    if (this.isClaimed(match, detection) || this.#isOn(keys[0])) return false
    const windowMs = match.playbook.windowSeconds * 1000
    for (const key of keys) {
      this.#remember(key, windowMs)
      fleet.publish('playbooks.ran', [key, windowMs])
    }
    return true
  }

  /** Whether a run that may decide has been claimed. */
  isClaimed (match: Match, detection: Detection): boolean {
    return this.#isOn(this.#keysOf(match, detection, false)[0])
  }

  /**
   * One id per attacker, playbook and window, in whichever process, so that two that claim at the same moment write
   * the same document; but a new one for an attacker who was let back in meanwhile.
   */
  runId (match: Match, detection: Detection, withheld: boolean): string {
    const nowMs = this.#parts.clock.now()
    if (this.#pardoned.has(attackerName(detection))) return newId('pr', nowMs)
    const window = Math.floor(nowMs / (match.playbook.windowSeconds * 1000))
    const key = this.#keysOf(match, detection, withheld)[0]
    return `pr_${createHash('sha256').update(`${key}|${window}`).digest('hex').slice(0, 32)}`
  }

  /** An attacker who was let back in and attacks again is met as if for the first time. */
  forget (attacker: string, playbooks: readonly Playbook[]): void {
    for (const playbook of playbooks) {
      const recorded = recordedKey(attacker, playbook)
      for (const suffix of ['', BLOCKED_SUFFIX, SPARED_SUFFIX]) this.#claimedUntilMs.delete(recorded + suffix)
    }
    this.#pardoned.set(attacker, true)
  }

  #isOn (key: string): boolean {
    const untilMs = this.#claimedUntilMs.get(key)
    return untilMs !== undefined && untilMs > this.#parts.clock.monotonic()
  }

  #remember (key: string, windowMs: number): void {
    this.#claimedUntilMs.set(key, this.#parts.clock.monotonic() + windowMs)
  }

  /** Under which keys a run is remembered, its own first. */
  #keysOf (
    { playbook, steps }: Match,
    detection: Detection,
    withheld: boolean
  ): [own: string, ...alsoCountsAs: string[]] {
    const recorded = recordedKey(attackerName(detection), playbook)
    if (withheld) return [recorded + SPARED_SUFFIX]
    const block = steps.find((step) => step.do === 'block')
    if (block === undefined) return [recorded]
    const spared = isSpared(this.#parts.actions, block.ttlSeconds, detection)
    return [recorded + (spared ? SPARED_SUFFIX : BLOCKED_SUFFIX), recorded]
  }
}

function recordedKey (attacker: string, { name }: Playbook): string {
  return `${attacker}|${name}`
}
