import { Client } from 'undici'

/** What a load saw: every failure with its code, and when it happened. */
export interface LoadResult { ok: number, failures: Array<{ code: string, atMs: number }>, slowestMs: number }

/**
 * Keep-alive connections that ask again as soon as they are answered (or after `thinkMs`), each on its own, until
 * stopped. A failed connection is opened anew, and nothing is retried: every failure counts.
 */
export function startLoad (url: string, options: { connections: number, path?: string, thinkMs?: () => number }): { stop (): Promise<LoadResult>, seen: LoadResult } {
  const seen: LoadResult = { ok: 0, failures: [], slowestMs: 0 }
  let isStopping = false
  const one = async (): Promise<void> => {
    let client = new Client(url, { pipelining: 1, keepAliveTimeout: 60_000 })
    while (!isStopping) {
      const startMs = performance.now()
      try {
        const response = await client.request({ method: 'GET', path: options.path ?? '/' })
        await response.body.dump()
        if (response.statusCode === 200) seen.ok++
        else seen.failures.push({ code: String(response.statusCode), atMs: performance.now() })
        seen.slowestMs = Math.max(seen.slowestMs, performance.now() - startMs)
      } catch (error) {
        seen.failures.push({ code: (error as { code?: string }).code ?? 'unknown', atMs: performance.now() })
        await client.destroy()
        client = new Client(url, { pipelining: 1, keepAliveTimeout: 60_000 })
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      const thinkMs = options.thinkMs?.() ?? 0
      if (thinkMs > 0) await new Promise((resolve) => setTimeout(resolve, thinkMs))
    }
    await client.close()
  }
  const running = Promise.all(Array.from({ length: options.connections }, one))
  return {
    seen,
    async stop () {
      isStopping = true
      await running
      return seen
    }
  }
}

/** Waits for an event that only polling shows; fails with `what` after the time. */
export async function until<T> (what: string, look: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const found = await look()
    if (found !== null && found !== undefined && found !== false) return found as NonNullable<T>
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`)
}
