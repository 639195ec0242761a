import type { Look, RedisLink } from '../../src/cache/redis-link.ts'

/** What becomes of a command on its way. `late`: carried out behind everybody's back, when nobody waits any more. */
export type Fate = 'arrives' | 'is lost' | 'reply is lost' | 'late'

interface FakeRedisOptions {
  /** Called before each step of a command, so that the test says in which order they happen. */
  step (what: string): Promise<unknown>
  fate (what: string): Fate
}

export interface FakeRedis {
  /** A connection of one process. */
  link (): RedisLink
  /** It comes back with another run: its answers are still there, its marks are lost, and so is what was on its way. */
  restart (): void
  /** Redis' own time goes on. */
  pass (micros: number): void
  readonly data: Map<string, string | Buffer>
}

const START_MICROS = 1_800_000_000_000_000

/** The commands of the link on a map. No command of a connection waits for another, which is worse than any Redis. */
export function createFakeRedis ({ step, fate }: FakeRedisOptions): FakeRedis {
  const data = new Map<string, string | Buffer>()
  const lockedUntil = new Map<string, number>()
  let nowMicros = START_MICROS
  let runs = 0
  const look = (key: string): Look => {
    const frame = data.get(key)
    return { nowMicros, frame: Buffer.isBuffer(frame) ? frame : null, run: String(runs) }
  }

  async function command<T> (what: string, run: () => T): Promise<T | undefined> {
    const becomes = fate(what)
    const ofRun = runs
    if (becomes === 'late') {
      step(`${what} late`).then(() => runs === ofRun && run())
      return undefined
    }
    await step(what)
    if (becomes === 'is lost' || runs !== ofRun) return undefined
    const reply = run()
    await step(`${what} reply`)
    return becomes === 'arrives' && runs === ofRun ? reply : undefined
  }

  return {
    data,
    restart () {
      runs++
      for (const key of data.keys()) if (key.includes(':ref:')) data.delete(key)
      lockedUntil.clear()
    },
    pass (micros) { nowMicros += micros },
    link: () => ({
      look: (key) => command('look', () => look(key)),
      lockAndLook: (lock, token, ms, key) => command('lock', () => {
        const isMine = !((lockedUntil.get(lock) ?? 0) > nowMicros)
        if (isMine) {
          data.set(lock, token)
          lockedUntil.set(lock, nowMicros + ms * 1000)
        }
        return { isMine, ...look(key) }
      }),
      async unlock (lock, token) { await command('unlock', () => data.get(lock) === token && lockedUntil.delete(lock)) },
      async setValue (key, frame) { await command('set', () => { data.set(key, frame) }) },
      getMarks: (keys) => command('marks', () => keys.map((key) => data.get(key)?.toString() ?? null)),
      async setMarks (keys) {
        return await command('mark', () => {
          for (const key of keys) data.set(key, String(nowMicros))
          return true
        }) === true
      },
      close () {}
    })
  }
}
