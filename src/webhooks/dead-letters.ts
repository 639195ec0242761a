import type { Clock } from '../std/clock.ts'
import type { Collection } from '../storage/port.ts'
import type { Message } from './delivery.ts'
import type { DeadLetter, StoredDeadLetter } from './shapes.ts'

/**
 * Messages that were given up, kept for 30 days. A store that was down gets its dead letters together with the next
 * one; at most a hundred wait in memory for it.
 */
const KEPT_MS = 30 * 86_400_000
const UNSAVED_MAX = 100

export class DeadLetters {
  readonly #store: Collection<StoredDeadLetter>
  readonly #clock: Pick<Clock, 'now'>
  #unsaved: StoredDeadLetter[] = []

  constructor (store: Collection<StoredDeadLetter>, clock: Pick<Clock, 'now'>) {
    this.#store = store
    this.#clock = clock
  }

  /** @throws NEKO_ERR_STORE_UNAVAILABLE; the next one that is kept takes it along */
  async keep (message: Message, problem: string): Promise<void> {
    const at = this.#clock.now()
    if (this.#unsaved.length >= UNSAVED_MAX) this.#unsaved.shift()
    this.#unsaved.push({ ...message, at, problem, expiresAt: at + KEPT_MS })
    const batch = new Set(this.#unsaved)
    await this.#store.insertMany([...batch])
    this.#unsaved = this.#unsaved.filter((letter) => !batch.has(letter))
  }

  get (id: string): Promise<DeadLetter | null> {
    return this.#store.get(id)
  }

  /** Newest first. */
  list ({ first, after }: { first: number, after: string | null }): ReturnType<Collection<StoredDeadLetter>['find']> {
    return this.#store.find({ sort: [['at', -1]], first, after })
  }

  count (): Promise<number> {
    return this.#store.count()
  }

  async delete (id: string): Promise<void> {
    await this.#store.delete(id)
  }
}
