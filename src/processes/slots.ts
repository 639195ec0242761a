import type { Child } from './child.ts'
import { Slot } from './slot.ts'
import type { SlotOptions } from './slot.ts'

interface SlotsOptions extends Omit<SlotOptions, 'index' | 'fork'> {
  count: number
  fork: (slot: number) => Child
}

const WATCH_MS = 500

/** The slots of one host, and every worker that lives in them, those that drain or start beside another included. */
export class Slots {
  readonly #slots: Slot[]
  readonly #living = new Set<Child>()
  #watch: NodeJS.Timeout | null = null

  constructor (options: SlotsOptions) {
    this.#slots = Array.from({ length: options.count }, (_, index) =>
      new Slot({
        ...options,
        index,
        fork: () => {
          const child = options.fork(index)
          this.#living.add(child)
          return child
        },
        onGone: (child) => {
          this.#living.delete(child)
          options.onGone(child)
        }
      }))
  }

  get count (): number {
    return this.#slots.length
  }

  start (): void {
    for (const slot of this.#slots) slot.start()
    this.#watch = setInterval(() => { for (const slot of this.#slots) slot.check() }, WATCH_MS)
  }

  /** @see Slot.replace */
  replace (index: number, reason: string): Promise<void> {
    return this.#slots[index]!.replace(reason)
  }

  /** The oldest first. */
  children (): Child[] {
    return [...this.#living]
  }

  /** Slots with a worker that is or was ready. */
  readyCount (): number {
    return new Set(this.children().filter((child) => child.readyForMs() !== null).map(({ slot }) => slot)).size
  }

  restarts (index: number): number {
    return this.#slots[index]!.restarts
  }

  /** No more forks; every child drains. Resolves when all are gone. */
  async stop (timeoutMs: number): Promise<void> {
    if (this.#watch !== null) clearInterval(this.#watch)
    for (const slot of this.#slots) slot.stop()
    await Promise.all(this.children().map((child) => child.drain(timeoutMs)))
  }

  killAll (): void {
    for (const child of this.#living) child.kill()
  }
}
