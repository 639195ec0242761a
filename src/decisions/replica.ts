import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Decision } from './shapes.ts'
import type { Standing } from './standing.ts'

export interface DecisionChange { decision: Decision, removed: boolean }

/** Ids remembered after their removal, so that no late message, page, sibling or log brings them back. */
const TOMBSTONES_MAX = 50_000
const MADE_MAX = 10_000
/** Decisions that others outlast, remembered for the case that those end first. */
const OUTLASTED_MAX = 10_000

interface ReplicaOptions {
  standing: Standing
  clock: Clock
  /** Another decision stays in place of this one; `madeHere` in the process that made it. */
  onSuperseded (decision: Decision, madeHere: boolean): void
  /** One that had been superseded stands again, since the other did not when it was made. */
  onRevived (decision: Decision, madeHere: boolean): void
  /** A decision that stood here, or that one that did outlasted, was removed. */
  onRemoved (decision: Decision, removedAt: number): void
}

/**
 * This process's replica of the fleet's decisions: what stands here, in whatever order playbooks, siblings' messages
 * and pages of the store bring it.
 *
 * One decision stands per client, action and kind of origin: when two processes see one offence, or two people decide
 * the same, the decision that ends last stays, in every process alike, and removing it lets the client back in. A
 * decision that is renewed keeps its id and ends later: of two versions the later one stands.
 *
 * What is new here may not be in the store yet; until it was seen there, the store's silence says nothing about it.
 */
export class Replica {
  readonly standing: Standing
  readonly #options: ReplicaOptions
  /** When an id was removed, ms since the epoch: a version that people made after that is another decision. */
  readonly #tombstones = new BoundedMap<string, number>(TOMBSTONES_MAX)
  readonly #outlasted = new BoundedMap<string, { decision: Decision, by: string, madeHere: boolean }>(OUTLASTED_MAX)
  readonly #madeHere = new BoundedMap<string, true>(MADE_MAX)
  /** Of what stands: those whose version here nobody has seen in the store. */
  readonly #unstored = new Set<string>()
  readonly #listeners = new Set<(change: DecisionChange) => void>()

  constructor (options: ReplicaOptions) {
    this.standing = options.standing
    this.#options = options
  }

  /** Puts it in force, unless it was removed, or another of its kind of origin about the same client outlasts it. */
  activate (decision: Decision): void {
    if (this.isEntombed(decision)) return
    const known = this.standing.get(decision.id)
    if (known !== null && !isNewer(decision, known)) return
    const rival = this.standing.rivalOf(decision, this.#options.clock.now())
    if (rival !== null && !outlasts(decision, rival)) return this.#supersede(decision, rival)
    if (rival !== null) this.#supersede(rival, decision)
    this.#outlasted.delete(decision.id)
    this.standing.put(decision)
    this.#unstored.add(decision.id)
    this.#tell(decision, false)
  }

  /** The same for a decision that was made in this process. */
  activateOwn (decision: Decision): void {
    this.#madeHere.set(decision.id, true)
    this.activate(decision)
  }

  /**
   * The store has it no more, and may bring it back. True when it outlasted others: where the store has those, they may
   * have been made since.
   */
  deactivate (id: string): boolean {
    const decision = this.#remove(id)
    if (decision === null) return false
    this.#tell(decision, true)
    const outlasted = this.outlastedBy(id)
    for (const other of outlasted) this.#outlasted.delete(other.id)
    return outlasted.length > 0
  }

  /**
   * It was removed, and with it those that it outlasted. From now on nothing brings them back: a message or a page that
   * is under way may still hold them.
   */
  bury (id: string, removedAt: number): void {
    this.#tombstones.set(id, Math.max(removedAt, this.#tombstones.get(id) ?? 0))
    const decision = this.standing.get(id)
    if (decision === null || !this.isEntombed(decision)) return
    const outlasted = this.outlastedBy(id)
    this.#remove(id)
    this.#tell(decision, true)
    this.#options.onRemoved(decision, removedAt)
    for (const other of outlasted) {
      if (other.createdAt > removedAt) {
        this.#revive(other.id)
        continue
      }
      this.#outlasted.delete(other.id)
      this.#tombstones.set(other.id, removedAt)
      this.#options.onRemoved(other, removedAt)
    }
  }

  isEntombed ({ id, createdAt }: Pick<Decision, 'id' | 'createdAt'>): boolean {
    return createdAt <= (this.removedAt(id) ?? -1)
  }

  /** ms since the epoch; null for one that nobody removed. */
  removedAt (id: string): number | null {
    return this.#tombstones.get(id) ?? null
  }

  tombstones (): MapIterator<[id: string, removedAt: number]> {
    return this.#tombstones.entries()
  }

  /** Decisions about the same client in whose place this one stands, directly or through another. */
  outlastedBy (id: string): Decision[] {
    if (this.#outlasted.size === 0) return []
    const found = new Map<string, Decision>()
    const waiting = [id]
    while (waiting.length > 0) {
      const winner = waiting.pop()
      for (const { decision, by } of this.#outlasted.values()) {
        if (by !== winner || found.has(decision.id)) continue
        found.set(decision.id, decision)
        waiting.push(decision.id)
      }
    }
    return [...found.values()]
  }

  /** The store has, or had, the version of that end. */
  markStored (id: string, expiresAt: number | null): void {
    if (this.standing.get(id)?.expiresAt === expiresAt) this.#unstored.delete(id)
  }

  /** The store has an older version than this process. */
  markUnstored (id: string): void {
    if (this.standing.get(id) !== null) this.#unstored.add(id)
  }

  isUnstored (id: string): boolean {
    return this.#unstored.has(id)
  }

  unstored (): SetIterator<string> {
    return this.#unstored.values()
  }

  /** The same text for the same decisions. */
  mark (): string {
    return `${this.standing.size}.${this.standing.digest()}`
  }

  /** Takes out what expired. */
  sweep (): void {
    for (const decision of this.standing.sweep(this.#options.clock.now())) {
      this.#unstored.delete(decision.id)
      this.#tell(decision, true)
    }
  }

  onChanged (listener: (change: DecisionChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #supersede (decision: Decision, winner: Decision): void {
    const madeHere = this.#madeHere.delete(decision.id)
    this.#outlasted.set(decision.id, { decision, by: winner.id, madeHere })
    this.#remove(decision.id)
    this.#options.onSuperseded(decision, madeHere)
  }

  #revive (id: string): void {
    const outlasted = this.#outlasted.get(id)
    if (outlasted === undefined) return
    this.#outlasted.delete(id)
    const { decision, madeHere } = outlasted
    if (endOf(decision) <= this.#options.clock.now()) return
    if (madeHere) this.#madeHere.set(id, true)
    this.activate(decision)
    if (this.standing.get(id) !== null) this.#options.onRevived(decision, madeHere)
  }

  #remove (id: string): Decision | null {
    this.#unstored.delete(id)
    return this.standing.remove(id)
  }

  #tell (decision: Decision, removed: boolean): void {
    for (const listener of this.#listeners) listener({ decision, removed })
  }
}

/** The same answer in every process, whichever of the two came first. */
function outlasts (one: Decision, other: Decision): boolean {
  const [a, b] = [endOf(one), endOf(other)]
  return a === b ? one.id < other.id : a > b
}

/** Of two versions of one decision: renewing it never brings its end nearer. */
function isNewer (one: Decision, other: Decision): boolean {
  const [a, b] = [endOf(one), endOf(other)]
  return a === b ? one.createdAt > other.createdAt : a > b
}

/** ms since the epoch, Infinity of one that stands until it is removed. */
export function endOf ({ expiresAt }: Pick<Decision, 'expiresAt'>): number {
  return expiresAt ?? Infinity
}
