import type { AwakeTime } from '../std/awake.ts'
import type { Child } from './child.ts'
import { hungSlot } from './restart.ts'
import { Slot } from './slot.ts'
import type { SlotOptions } from './slot.ts'

interface SlotsOptions extends Omit<SlotOptions, 'index' | 'fork'> {
  count: number
  fork: (slot: number) => Child
  awake: AwakeTime
}

/** How often the workers are looked at, ms: a silent one shows within a second. */
export const LOOK_MS = 250

/** The slots of one host, and every worker that lives in them, those that drain or start beside another included. */
export class Slots {
  readonly #slots: Slot[]
  readonly #living = new Set<Child>()
  readonly #awake: AwakeTime
  #watch: NodeJS.Timeout | null = null

  constructor (options: SlotsOptions) {
    this.#awake = options.awake
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
    this.#watch = setInterval(() => {
      this.#awake.look()
      // By then all messages in the channels have been read, those that came while we did not run among them.
      setImmediate(() => this.#look())
    }, LOOK_MS)
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

  #look (): void {
    const hung = hungSlot(this.#slots.map((slot) => slot.state()))
    if (hung !== null) this.#slots[hung]!.replaceHung()
    for (const slot of this.#slots) slot.checkMemory()
  }
}
