import type { Clock } from './clock.ts'

/**
 * A budget of so many in each second of the monotonic clock: for what is told, kept or shown of a flood, so that the
 * rest of it is only counted. It begins anew with each second; what a second leaves over is not saved.
 */
export interface PerSecond {
  /** True while this second has one left, which is then taken. */
  take (): boolean
}

/** @param max per second, 1 or more */
export function createPerSecond (clock: Pick<Clock, 'monotonic'>, max: number): PerSecond {
  let second = -1
  let taken = 0
  return {
    take () {
      const now = Math.floor(clock.monotonic() / 1000)
      if (now !== second) {
        second = now
        taken = 0
      }
      if (taken >= max) return false
      taken++
      return true
    }
  }
}
