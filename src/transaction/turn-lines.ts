import type { Clock } from '../std/clock.ts'

/**
 * Lines of those who wait for a turn that others of the same key hold, in this process: first come, first served. Turns
 * pass from hand to hand; only the first of a line asks elsewhere, so that a crowd is no crowd there.
 */
interface TurnLines {
  /** Somebody waits already. */
  isBusy (key: string): boolean
  /** Null where too many wait. */
  join (key: string): Place | null
  /** Gives one's turn to the next; false when nobody waits for it. */
  hand (key: string): boolean
  /** The first of the line looks again: something changed. */
  wake (key: string): void
}

interface Place {
  isFirst (): boolean
  /** Resolves when a turn was handed over, or when it is time to look again. */
  wait (): Promise<'turn' | 'again'>
  leave (): void
}

interface Waiter { settle: ((came: 'turn' | 'again') => void) | null }

/** Of a process, over all keys. */
const WAITING_MAX = 500

/** @param lookMs how long one waits before it looks again by itself */
export function createTurnLines (
  { clock, lookMs }: { clock: Pick<Clock, 'after'>, lookMs: number }
): TurnLines {
  const lines = new Map<string, Waiter[]>()
  let size = 0

  function leave (key: string, waiter: Waiter): void {
    const line = lines.get(key) ?? []
    const at = line.indexOf(waiter)
    if (at < 0) return
    line.splice(at, 1)
    size--
    if (line.length === 0) lines.delete(key)
  }

  return {
    isBusy: (key) => lines.has(key),
    join (key) {
      if (size >= WAITING_MAX) return null
      const waiter: Waiter = { settle: null }
      const line = lines.get(key)
      if (line === undefined) lines.set(key, [waiter])
      else line.push(waiter)
      size++
      return {
        isFirst: () => lines.get(key)?.[0] === waiter,
        wait: async () => await new Promise((resolve) => {
          const timer = clock.after(lookMs, () => waiter.settle?.('again'))
          waiter.settle = (came) => {
            timer.cancel()
            waiter.settle = null
            resolve(came)
          }
        }),
        leave: () => leave(key, waiter)
      }
    },
    hand (key) {
      const next = lines.get(key)?.find(({ settle }) => settle !== null)
      if (next === undefined) return false
      leave(key, next)
      next.settle!('turn')
      return true
    },
    wake: (key) => lines.get(key)?.[0]?.settle?.('again')
  }
}
