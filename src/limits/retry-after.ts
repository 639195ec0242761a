/**
 * When one more request is admitted again, in milliseconds and in the whole seconds of Retry-After (pure). Every
 * Retry-After of a limit is computed here; transports write it as it is.
 */

/**
 * @param at all on the same monotonic clock, ms: now, the end of the block (0 without one), and when the window has
 * room again
 */
export function retryAfterMs (at: { nowMs: number, blockedUntilMs: number, roomAtMs: number }): number {
  // One millisecond more than the arithmetic of the window: a client that comes back on the dot must be admitted.
  return Math.max(at.blockedUntilMs - at.nowMs, Math.max(0, at.roomAtMs - at.nowMs) + 1)
}

/** Whole seconds, at least 1: rounded up, so that a client that waits them is admitted. */
export function wholeSeconds (ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
