/**
 * Events of a callback as an async iterable that ends cleanly when its reader leaves. Bounded: a reader that is slower
 * than its events loses the oldest ones, because what is shown live is no record.
 */
const WAITING_MAX = 256

/** `subscribe` is called at once and returns the unsubscribe; at most 256 events wait. */
export function eventStream<T> (subscribe: (push: (event: T) => void) => () => void): AsyncIterableIterator<T> {
  const waiting: T[] = []
  let wake: ((result: IteratorResult<T>) => void) | null = null
  let ended = false
  const unsubscribe = subscribe((event) => {
    if (wake !== null) {
      wake({ value: event, done: false })
      wake = null
      return
    }
    if (waiting.length >= WAITING_MAX) waiting.shift()
    waiting.push(event)
  })

  function end (): Promise<IteratorResult<T>> {
    if (!ended) {
      ended = true
      unsubscribe()
      wake?.({ value: undefined, done: true })
      wake = null
    }
    return Promise.resolve({ value: undefined, done: true })
  }

  return {
    next () {
      if (ended) return Promise.resolve({ value: undefined, done: true })
      if (waiting.length > 0) return Promise.resolve({ value: waiting.shift() as T, done: false })
      return new Promise((resolve) => { wake = resolve })
    },
    return: end,
    throw: end,
    [Symbol.asyncIterator] () { return this }
  }
}
