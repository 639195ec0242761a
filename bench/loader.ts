import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { spawnOn } from './price-servers.ts'
import type { RawLoad, RawResult } from './raw-load.ts'

/** The process of `bench/raw-load.ts`, on the load's core: one run after the other. */
export interface Loader {
  /** @throws when the load cannot be made, or its process ended. */
  run (load: RawLoad): Promise<RawResult>
  stop (): void
}

/** Of a server's own peak: busy, and far enough from full that a latency is the server's and not its queue's. */
export const PACED_SHARE = 0.6

export function startLoader (): Loader {
  const loader = spawnOn('load', [fileURLToPath(new URL('./raw-load.ts', import.meta.url))])
  const ended = once(loader, 'close').then(([code]) => { throw new Error(`the load ended with ${code}`) })
  ended.catch(() => {})
  return {
    async run (load) {
      const answer = once(loader, 'message')
      loader.send(load)
      const [result] = await Promise.race([answer, ended]) as [RawResult]
      return result
    },
    stop () { loader.disconnect() }
  }
}
