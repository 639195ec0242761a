import { SOCKET } from './bounds.ts'

/**
 * The operations of one connection that have begun and not yet ended, by the ids that its client gave them. An id may
 * come again once its operation was completed, while the server still works on that one: then the new operation waits,
 * because the protocol's library knows operations by their ids alone, and would mistake one for the other.
 */
export interface BegunOperation {
  /** The client completed it, or has gone: nothing is executed for it any more. */
  isOver: boolean
}

/** The fate of a message of an operation. */
type Step = 'read' | 'wait' | 'drop' | 'tooMany'

interface Entry extends BegunOperation { waiting: (() => void) | null }

export class BegunOperations {
  readonly #entries = new Map<string, Entry>()
  #waiting = 0

  /** For a `subscribe`; where it is to wait, `again` is called when its turn has come, or never. */
  begin (id: string, again: () => void): Step {
    const entry = this.#entries.get(id)
    // A second one beside a live one: the library closes with 4409.
    if (entry !== undefined && !entry.isOver) return 'read'
    if (entry === undefined) {
      if (this.#entries.size >= SOCKET.operations) return 'tooMany'
      this.#entries.set(id, { isOver: false, waiting: null })
      return 'read'
    }
    if (entry.waiting !== null || this.#waiting >= SOCKET.reusedIds) return 'tooMany'
    entry.waiting = again
    this.#waiting++
    return 'wait'
  }

  /** For a `complete`: one that waits is dropped with it. */
  complete (id: string): Step {
    const entry = this.#entries.get(id)
    if (entry === undefined) return 'read'
    if (entry.isOver) {
      this.#stopWaiting(entry)
      return 'drop'
    }
    entry.isOver = true
    return 'read'
  }

  /** The operation that is being read. */
  of (id: string): BegunOperation {
    return this.#entries.get(id) ?? { isOver: true }
  }

  /** The library is done with it: the next of that id may begin. */
  end (id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#entries.delete(id)
    const { waiting } = entry
    this.#stopWaiting(entry)
    waiting?.()
  }

  /** The connection has ended. */
  clear (): void {
    for (const entry of this.#entries.values()) {
      entry.isOver = true
      entry.waiting = null
    }
    this.#waiting = 0
  }

  #stopWaiting (entry: Entry): void {
    if (entry.waiting === null) return
    entry.waiting = null
    this.#waiting--
  }
}
