/** An error that says when to come back: the edges make it a Retry-After header or `extensions.retryAfterSeconds`. */
type Retryable<E extends Error> = E & { retryAfterSeconds: number }

/** @param seconds whole, 1 or more */
export function retryable<E extends Error> (error: E, seconds: number): Retryable<E> {
  return Object.assign(error, { retryAfterSeconds: seconds })
}

/** When an error of any origin says to come back, in whole seconds; null when it says nothing. */
export function retryAfterOf (error: unknown): number | null {
  const seconds = (error as { retryAfterSeconds?: unknown } | null | undefined)?.retryAfterSeconds
  return typeof seconds === 'number' ? seconds : null
}
