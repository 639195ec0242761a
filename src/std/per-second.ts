import type { Clock } from './clock.ts'

/**
 * A budget of so many in each second of the monotonic clock: for the part of a flood that is told, kept or shown,
 * while the rest is only counted. It begins anew with each second; the rest of a second is not saved.
 */
interface PerSecond {
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
