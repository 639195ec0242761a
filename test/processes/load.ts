import { Client } from 'undici'

/** What a load saw: every failure with its code, and when it happened. */
export interface LoadResult {
  ok: number
  failures: Array<{ code: string, atMs: number }>
  slowestMs: number
  /** Which process answered each connection last (its `pid`), where the answer says so. */
  pids: Array<number | null>
}

/**
 * Keep-alive connections that ask again as soon as they are answered (or after `thinkMs`), each on its own, until
 * stopped. A failed connection is opened anew, and nothing is retried: every failure counts.
 */
export function startLoad (url: string, options: { connections: number, path?: string, thinkMs?: () => number, headersTimeoutMs?: number }): { stop (): Promise<LoadResult>, seen: LoadResult } {
  const seen: LoadResult = { ok: 0, failures: [], slowestMs: 0, pids: Array.from({ length: options.connections }, () => null) }
  const stopping = new AbortController()
  const headersTimeout = options.headersTimeoutMs ?? 10_000
  const one = async (index: number): Promise<void> => {
    let client = new Client(url, { pipelining: 1, keepAliveTimeout: 60_000, headersTimeout })
    while (!stopping.signal.aborted) {
      const startMs = performance.now()
      try {
        const response = await client.request({ method: 'GET', path: options.path ?? '/' })
        const text = await response.body.text()
        seen.pids[index] = Number(/"pid":(\d+)/.exec(text)?.[1] ?? 0) || null
        if (response.statusCode === 200) seen.ok++
        else seen.failures.push({ code: String(response.statusCode), atMs: performance.now() })
        seen.slowestMs = Math.max(seen.slowestMs, performance.now() - startMs)
      } catch (error) {
        seen.failures.push({ code: (error as { code?: string }).code ?? 'unknown', atMs: performance.now() })
        await client.destroy()
        client = new Client(url, { pipelining: 1, keepAliveTimeout: 60_000, headersTimeout })
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      const thinkMs = options.thinkMs?.() ?? 0
      if (thinkMs > 0) await new Promise((resolve) => setTimeout(resolve, thinkMs))
    }
    await client.close()
  }
  const running = Promise.all(Array.from({ length: options.connections }, (_, index) => one(index)))
  return {
    seen,
    async stop () {
      stopping.abort()
      await running
      return seen
    }
  }
}

/** Waits for an event that only polling shows; fails with `what` after the time, which ends a wait that would not end. */
export async function until<T> (what: string, look: () => T | Promise<T>, timeoutMs = 40_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    const found = await look()
    if (found !== null && found !== undefined && found !== false) return found as NonNullable<T>
    await new Promise((resolve) => setTimeout(resolve, 40))
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`)
}
