import type { Evidence } from '../detect/shapes.ts'
import type { Notice } from '../webhooks/shapes.ts'
import type { TimelineEntry } from './shapes.ts'

/** One run of a playbook, as it joins the incident of its attacker. */
export interface Joining {
  attacker: string
  playbook: string
  /** Whether this playbook goes before the named one: an incident bears the name of the highest. */
  outranks (playbook: string): boolean
  critical: boolean
  entry: TimelineEntry
  assessmentId: string | null
  evidence: Evidence[]
  techniques: string[]
  /** Somebody should be told by webhook, unless this incident was told of already. */
  notice: Notice | null
}

/** An escalation, if there is one, else the first alert. */
export function loudestNotice (joinings: readonly Joining[]): Notice | null {
  return joinings.find(({ notice }) => notice?.kind === 'escalate')?.notice ??
    joinings.find(({ notice }) => notice !== null)?.notice ?? null
}

/** Attackers with runs in memory. */
const ATTACKERS_MAX = 10_000
const JOININGS_MAX = 200

/** Runs that wait to be written, by attacker, so that a burst of one attacker is one write. Bounded. */
export class WaitingJoinings {
  readonly #ofAttacker = new Map<string, Joining[]>()

  get size (): number {
    return this.#ofAttacker.size
  }

  /** False when there is no room for it. */
  add (joining: Joining): boolean {
    const joinings = this.#ofAttacker.get(joining.attacker)
    if (joinings === undefined) {
      if (this.#ofAttacker.size >= ATTACKERS_MAX) return false
      this.#ofAttacker.set(joining.attacker, [joining])
    } else {
      if (joinings.length >= JOININGS_MAX) return false
      joinings.push(joining)
    }
    return true
  }

  /** The runs of at most `attackersMax` attackers, who have waited longest; they wait no more. */
  take (attackersMax: number): Array<[attacker: string, joinings: Joining[]]> {
    const taken = [...this.#ofAttacker.entries().take(attackersMax)]
    for (const [attacker] of taken) this.#ofAttacker.delete(attacker)
    return taken
  }

  /** Before what came meanwhile; beyond the bound the oldest are forgotten. */
  putBack (attacker: string, joinings: Joining[]): void {
    this.#ofAttacker.set(attacker, [...joinings, ...this.#ofAttacker.get(attacker) ?? []].slice(-JOININGS_MAX))
  }
}
