import { endsThrough } from './collections.ts'
import type { Pending, StoreEffect, WrittenEvent } from './shapes.ts'
import { leftBy } from './versions.ts'

/**
 * Changes of one document that are kept behind the newest one: those count when the newer ones turn out to be
 * withdrawn, as those of callers who try again while the disk is slow. They are told as withdrawn only when it answers,
 * after some seconds: more than a minute's tries of one caller may stand before that.
 */
const EARLIER_MAX = 128

/**
 * The last effect on each document, over all logs that are read: since a put replaces the whole document, only the last
 * counts (of documents with versions the one that stands), and order between documents does not. Bounded by what was
 * changed since the logs' markers (minutes).
 */
export class EffectSet {
  /** By document, the last one at the end. */
  readonly #changes = new Map<string, Pending[]>()
  readonly #withdrawn = new Set<string>()

  /** `wanted` false: settled, and read for what it says about others. */
  add (event: WrittenEvent, wanted: boolean): void {
    const withdrawn = withdrawnBy(event)
    if (withdrawn !== null) this.#withdrawn.add(withdrawn)
    if (event.effects === undefined || event.outcome !== 'ok') return
    const { at, processId, seq, id: eventId } = event
    for (const effect of event.effects) {
      const key = effectKey(effect)
      const changes = this.#changes.get(key) ?? []
      const before = changes.findLastIndex((change) => isLater(event, change))
      changes.splice(before + 1, 0, { effect, isSettled: !wanted, at, processId, seq, eventId })
      // Those that are known as withdrawn go first: an acknowledged one may stand before any number of them.
      this.#changes.set(key, changes.length <= EARLIER_MAX
        ? changes
        : changes.filter((change) => !this.#withdrawn.has(change.eventId)).slice(-EARLIER_MAX))
    }
  }

  /** Of a living process, whose changes count where they meet one that is here: all others are its own matter. */
  addLiving (event: WrittenEvent): void {
    const effects = event.effects?.filter((effect) => this.#changes.has(effectKey(effect))) ?? []
    this.add({ ...event, effects }, false)
  }

  /** The caller was told that this change did not happen. */
  isWithdrawn (eventId: string): boolean {
    return this.#withdrawn.has(eventId)
  }

  /** What is to be made up for, oldest first; of a document with versions its removal, and the put behind it. */
  pending (): Pending[] {
    const left = [...this.#changes.values()].map((changes) => this.#leftOf(changes)).filter(({ length }) => length > 0)
    return left.sort((a, b) => a.at(-1)!.at - b.at(-1)!.at).flat()
  }

  /**
   * Settled changes that came later than a put which did not settle: to be made again where the store has that put
   * (`over`), as it was made behind the back of whoever changed the document. Of documents with versions `pending`
   * tells them.
   */
  overtaking (): Pending[] {
    return [...this.#changes.values()].flatMap((changes) => this.#overtakingOf(changes))
  }

  /** Whether one that `pending` or `overtaking` told still is what the changes of its document come to. */
  isLeft ({ effect, eventId }: Pending): boolean {
    const changes = this.#changes.get(effectKey(effect)) ?? []
    return [...this.#leftOf(changes), ...this.#overtakingOf(changes)].some((one) => one.eventId === eventId)
  }

  /** Up to when the logs say that versions of this effect's document ended. */
  endedAt (effect: StoreEffect): number {
    const changes = this.#standing(this.#changes.get(effectKey(effect)) ?? [])
    return Math.max(-Infinity, ...changes.map((change) => endsThrough(change.effect) ?? -Infinity))
  }

  #standing (changes: readonly Pending[]): Pending[] {
    return changes.filter(({ eventId }) => !this.#withdrawn.has(eventId))
  }

  #leftOf (changes: readonly Pending[]): Pending[] {
    const standing = this.#standing(changes)
    const last = standing.at(-1)
    if (last === undefined) return []
    if (standing.every(hasVersion)) return leftBy(standing)
    return last.isSettled ? [] : [last]
  }

  #overtakingOf (changes: readonly Pending[]): Pending[] {
    const standing = this.#standing(changes)
    const last = standing.at(-1)
    const put = standing.findLast(({ effect, isSettled }) => effect.op === 'put' && !isSettled)
    const isOvertaking = last?.isSettled && put !== undefined && !standing.every(hasVersion)
    return isOvertaking ? [{ ...last, over: put.effect }] : []
  }
}

function hasVersion ({ effect }: Pending): boolean {
  return effect.version !== undefined
}

/** The event whose caller was told that it did not happen: the disk was too slow, or the store refused the change. */
export function withdrawnBy ({ type, target, outcome, details }: WrittenEvent): string | null {
  if (type === 'audit.withdrawn') return target ?? null
  const takenBack = outcome === 'failed' ? details?.takesBack : undefined
  return typeof takenBack === 'string' ? takenBack : null
}

/** Within one log its own numbers count, whatever the clock did; between logs only the time is there. */
function isLater (event: WrittenEvent, before: Pending): boolean {
  return event.processId === before.processId ? event.seq > before.seq : event.at >= before.at
}

export function effectKey (effect: StoreEffect): string {
  return `${effect.collection}/${effect.id}`
}
