import type { Notice } from './shapes.ts'

/**
 * The notices that go out as one message: of each attacker one, the loudest, with how often it was told. Bounded, so
 * that a storm of attackers makes no message of megabytes; those beyond the bound are counted only.
 */
const ATTACKERS_MAX = 50

interface GatheredNotice extends Notice { count: number }

export class Gathering {
  #count = 0
  #critical = false
  readonly #ofAttacker = new Map<string, GatheredNotice>()

  get isEmpty (): boolean {
    return this.#count === 0
  }

  add (notice: Notice): void {
    this.#count++
    this.#critical ||= notice.kind === 'escalate'
    const known = this.#ofAttacker.get(notice.attacker)
    if (known === undefined) {
      if (this.#ofAttacker.size < ATTACKERS_MAX) this.#ofAttacker.set(notice.attacker, { ...notice, count: 1 })
      return
    }
    const isLouder = known.kind === 'alert' && notice.kind === 'escalate'
    Object.assign(known, isLouder ? notice : {}, { count: known.count + 1 })
  }

  /** The message's words about them; the next message begins with none. */
  take (): { critical: boolean, count: number, attackers: GatheredNotice[] } {
    const told = { critical: this.#critical, count: this.#count, attackers: [...this.#ofAttacker.values()] }
    this.#count = 0
    this.#critical = false
    this.#ofAttacker.clear()
    return told
  }
}
