import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Decision } from './shapes.ts'
import type { Standing } from './standing.ts'

export interface DecisionChange { decision: Decision, removed: boolean }

/** Ids remembered after their removal, so that a late message or page does not bring them back. */
const TOMBSTONES_MAX = 10_000
const MADE_MAX = 10_000

interface ReplicaOptions {
  standing: Standing
  clock: Clock
  /** Another decision stays in place of this one; `madeHere` in the process that made it. */
  onSuperseded (decision: Decision, madeHere: boolean): void
}

/**
 * This process's replica of the fleet's decisions: what stands here, in whatever order playbooks, siblings' messages
 * and pages of the store bring it.
 *
 * One decision stands per client, action and kind of origin: when two processes see one offence, or two people decide
 * the same, the decision that ends last stays, in every process alike, so that removing it lets the client back in.
 */
export class Replica {
  readonly standing: Standing
  readonly #options: ReplicaOptions
  readonly #tombstones = new BoundedMap<string, true>(TOMBSTONES_MAX)
  readonly #madeHere = new BoundedMap<string, true>(MADE_MAX)
  readonly #listeners = new Set<(change: DecisionChange) => void>()

  constructor (options: ReplicaOptions) {
    this.standing = options.standing
    this.#options = options
  }

  /** Puts it in force, unless another of its kind of origin about the same client outlasts it. */
  activate (decision: Decision): void {
    const rival = this.standing.rivalOf(decision, this.#options.clock.now())
    if (rival !== null && !outlasts(decision, rival)) return this.#supersede(decision)
    if (rival !== null) this.#supersede(rival)
    this.standing.put(decision)
    this.#tell(decision, false)
  }

  /** The same for a decision that was made in this process. */
  activateOwn (decision: Decision): void {
    this.#madeHere.set(decision.id, true)
    this.activate(decision)
  }

  /** It no longer stands; the store may bring it back. */
  deactivate (id: string): void {
    const decision = this.standing.remove(id)
    if (decision !== null) this.#tell(decision, true)
  }

  /** From now on nothing brings it back: a message or a page that is under way may still hold it. */
  entomb (id: string): void {
    this.#tombstones.set(id, true)
  }

  isEntombed (id: string): boolean {
    return this.#tombstones.has(id)
  }

  /** Takes out what expired. */
  sweep (): void {
    for (const decision of this.standing.sweep(this.#options.clock.now())) this.#tell(decision, true)
  }

  onChanged (listener: (change: DecisionChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #supersede (decision: Decision): void {
    this.entomb(decision.id)
    this.standing.remove(decision.id)
    this.#options.onSuperseded(decision, this.#madeHere.delete(decision.id))
  }

  #tell (decision: Decision, removed: boolean): void {
    for (const listener of this.#listeners) listener({ decision, removed })
  }
}

/** The same answer in every process, whichever of the two came first. */
function outlasts (one: Decision, other: Decision): boolean {
  const [a, b] = [one.expiresAt ?? Infinity, other.expiresAt ?? Infinity]
  return a === b ? one.id < other.id : a > b
}
