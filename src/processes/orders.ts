/**
 * Orders to stop and to reload, from the first moment of the process on. One that comes before anybody can obey it is
 * kept: Node would end the process at once, with the signal for a code and the lock of the data directory left behind;
 * and a start that does not know of the order would go on to serve.
 */
export interface Orders {
  /** Aborted by the first order to stop; the reason is its name. */
  readonly stopping: AbortSignal
  stop (why: string): void
  reload (): void
  /** Who obeys from now on. What was kept comes first. */
  take (handlers: OrderHandlers): void
}

interface OrderHandlers {
  /** Also for a second order, which finds the first one under way. */
  stop (why: string): void
  reload (): void
}

/** A start that an order to stop ended: nothing was served yet, so there is nothing to drain. */
export class StoppedEarly extends Error {}

/** What a start is at when it is told to stop (opening the store, building the rooms) may end within this time, ms. */
export const EARLY_GRACE_MS = 500

/** Listens to the signals. A worker keeps them and never takes them: its primary alone knows what they mean. */
export function keepOrders (): Orders {
  const stopping = new AbortController()
  let isReloadKept = false
  let handlers: OrderHandlers | null = null
  const orders: Orders = {
    stopping: stopping.signal,
    stop (why) {
      stopping.abort(why)
      handlers?.stop(why)
    },
    reload () {
      if (handlers === null) isReloadKept = true
      else handlers.reload()
    },
    take (next) {
      handlers = next
      if (stopping.signal.aborted) next.stop(String(stopping.signal.reason))
      else if (isReloadKept) next.reload()
    }
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => orders.stop(signal))
  process.on('SIGHUP', () => orders.reload())
  return orders
}

/**
 * The result of a part of the start. After an order to stop it is waited for only a little longer.
 * @throws StoppedEarly
 */
export async function unlessStopped<T> (stopping: AbortSignal, work: Promise<T>): Promise<T> {
  const stopped = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const onStop = (): void => {
    timer = setTimeout(() => stopped.reject(new StoppedEarly()), EARLY_GRACE_MS)
  }
  if (stopping.aborted) onStop()
  else stopping.addEventListener('abort', onStop)
  try {
    return await Promise.race([work, stopped.promise])
  } finally {
    clearTimeout(timer)
    stopping.removeEventListener('abort', onStop)
  }
}
