import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { keyUseCollection } from './collections.ts'
import type { KeyUse } from './shapes.ts'

/**
 * When keys were last used: noted in memory at each use, written in one command every 10 s, each key at most
 * once a minute.
 */
const WRITE_MS = 10_000
const PER_KEY_MS = 60_000
const PER_WRITE = 500
/** Keys noted and not written yet; beyond it a use goes unnoted, since this is a convenience for people. */
const NOTED_MAX = 10_000

interface KeyUses {
  note (id: string): void
  of (ids: string[]): Promise<Map<string, number>>
  close (): Promise<void>
}

export function createKeyUses ({ storage, clock }: { storage: Storage, clock: Clock }): KeyUses {
  const store = storage.collection<KeyUse>(keyUseCollection)
  const noted = new Map<string, number>()
  const written = new BoundedMap<string, number>(NOTED_MAX)

  async function write (): Promise<void> {
    const now = clock.now()
    const due: KeyUse[] = []
    for (const [id, lastUsedAt] of noted) {
      if (due.length < PER_WRITE && now - (written.get(id) ?? -Infinity) >= PER_KEY_MS) due.push({ id, lastUsedAt })
    }
    if (due.length === 0) return
    for (const { id } of due) {
      noted.delete(id)
      written.set(id, now)
    }
    // Fail-open: a time that was not written is written with the next use.
    await store.putMany(due).catch(() => null)
  }

  const timer = clock.every(WRITE_MS, write)

  return {
    note (id) {
      if (noted.size < NOTED_MAX || noted.has(id)) noted.set(id, clock.now())
    },
    async of (ids) {
      const found = new Map((await store.getMany(ids)).map(({ id, lastUsedAt }) => [id, lastUsedAt]))
      for (const id of ids) {
        const here = noted.get(id)
        if (here !== undefined) found.set(id, Math.max(here, found.get(id) ?? 0))
      }
      return found
    },
    async close () {
      timer.cancel()
      written.clear()
      await write()
    }
  }
}
