/**
 * Read, change, write if nobody else wrote meanwhile, and read again when somebody did: the loop around every
 * compare-and-set of the store. Bounded, because a document that changes under every attempt would hold its caller
 * for ever.
 *
 * @param attempt reads anew, and answers what it wrote; null when another writer was faster
 * @param exhausted the error after `attemptsMax` lost races
 * @throws what `attempt` throws, at once, and what `exhausted` makes
 */
export async function compareAndSet<T> (
  attemptsMax: number,
  attempt: (number: number) => Promise<T | null>,
  exhausted: () => Error
): Promise<T> {
  for (let number = 1; number <= attemptsMax; number++) {
    const written = await attempt(number)
    if (written !== null) return written
  }
  throw exhausted()
}
