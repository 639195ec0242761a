/**
 * Marks of invalidations in Redis, of which none may be lost: what could not be written is owed, and tried again until
 * it was.
 *
 * Owns: what is owed, and whether anything is on its way. Never does: read. In: references, or null for all; out:
 * whether it was written at once, and later what was written late.
 *
 * Until all is written `isSettled` is false, and the layer gives nothing out: what lies in Redis may be what should
 * have been invalidated. Owed is a bounded number of references, beyond it all of them. A process that dies takes with
 * it what it alone owed; the siblings that were told owe it too, and for the rest the answers' own time ends it.
 */
import type { Clock } from '../std/clock.ts'
import { createOwedWork } from '../std/owed-work.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface OwedMarks {
  /** Nothing is owed and nothing is on its way. */
  isSettled (): boolean
  /** Whether they were written at once. */
  write (references: readonly string[] | null): Promise<boolean>
  /** On the word of another process, which tells of it itself when it has written it. */
  owe (references: readonly string[] | null): void
  close (): void
}

interface OwedMarksOptions {
  clock: Clock
  log: Pick<Logger, 'info' | 'warn'>
  /** Never rejects. */
  setMarks (references: readonly string[] | null): Promise<boolean>
  /** Of what `write` could not write. */
  onLate (references: readonly string[] | null): void
}

const OWED_MAX = 1_000
/** Other hosts read from Redis meanwhile: it is tried again well within the second in which they hear of a change. */
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 1_000
/** References of one command. */
const BATCH_MAX = 256

interface Owed { references: Set<string>, isAll: boolean }

export function createOwedMarks ({ clock, log, setMarks, onLate }: OwedMarksOptions): OwedMarks {
  /** By whose word: our own are told to others when they are written. */
  const owed = { own: nothing(), told: nothing() }
  let onTheirWay = 0
  let isBehind = false
  const work = createOwedWork({
    clock,
    work: writeOwed,
    onFailing () {
      isBehind = true
      log.warn('an invalidation cannot be written to Redis: nothing is read from it until it is')
    },
    retryMsMin: RETRY_MS_MIN,
    retryMsMax: RETRY_MS_MAX
  })

  const isOwed = (): boolean => Object.values(owed).some((one) => one.isAll || one.references.size > 0)

  function remember (whose: keyof typeof owed, references: readonly string[] | null): void {
    const one = owed[whose]
    for (const reference of references ?? []) one.references.add(reference)
    if (references === null || one.references.size > OWED_MAX) owed[whose] = { references: new Set(), isAll: true }
  }

  /** At each moment until it is written it counts as on its way or as owed. */
  async function tryToWrite (whose: keyof typeof owed, references: readonly string[] | null): Promise<boolean> {
    onTheirWay++
    const isWritten = await setMarks(references)
    if (!isWritten) remember(whose, references)
    onTheirWay--
    return isWritten
  }

  async function writeOwed (): Promise<void> {
    for (const whose of ['own', 'told'] as const) {
      while (owed[whose].isAll || owed[whose].references.size > 0) await writeSome(whose)
    }
    if (isBehind) log.info('every invalidation is written to Redis')
    isBehind = false
  }

  /** Taken out first: what is owed anew while they are on their way is newer than these. */
  async function writeSome (whose: keyof typeof owed): Promise<void> {
    const { isAll, references } = owed[whose]
    const some = isAll ? null : [...references.values().take(BATCH_MAX)]
    if (some === null) owed[whose] = nothing()
    else for (const reference of some) references.delete(reference)
    if (!await tryToWrite(whose, some)) throw new Error('Redis is away')
    if (whose === 'own') onLate(some)
  }

  return {
    isSettled: () => onTheirWay === 0 && !isOwed(),
    async write (references) {
      const isWritten = await tryToWrite('own', references)
      if (!isWritten) work.owe()
      return isWritten
    },
    owe (references) {
      remember('told', references)
      work.owe()
    },
    close: work.close
  }
}

function nothing (): Owed {
  return { references: new Set(), isAll: false }
}
