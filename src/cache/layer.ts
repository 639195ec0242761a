/**
 * What the cache asks of the layer behind memory, which several processes share. It never throws and never keeps
 * anybody waiting for long: a layer that is away answers that there is nothing, and takes nothing.
 */
import type { Entry } from './memory.ts'

export interface SharedLayer<V> {
  /**
   * What the layer holds of a key, or the turn to compute it: of the processes that want the same, one has it, and the
   * others wait for its answer a bounded time.
   */
  turn (key: string): Promise<Turn<V>>
  /**
   * Nothing that was computed before now and hangs on one of the references (null: nothing at all) is given out by the
   * layer any more, to whichever process. False: that could not be written yet. It is owed, and until it is written
   * this process takes nothing from the layer.
   */
  invalidate (references: readonly string[] | null): Promise<boolean>
  /** Another process could not write this: owed here as well. */
  owe (references: readonly string[] | null): void
  /** Told of each invalidation that was written late. */
  onLate (listener: (references: readonly string[] | null) => void): void
  close (): void
}

/** With its age instead of a time: processes share no monotonic clock. */
export type Shared<V> = Omit<Entry<V>, 'key' | 'storedAtMs'> & { readonly ageMs: number }

export interface Turn<V> {
  /** Fresh, or past that and still fit to answer an error with. */
  readonly found: Shared<V> | null
  /** Hands over what was computed, as of the moment when the turn was given. */
  keep (made: Omit<Shared<V>, 'ageMs' | 'bytes'>): void
  /** The computation is over, kept or not: the next may have the turn. */
  end (): void
}
