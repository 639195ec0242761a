import { replaceFile } from './files.ts'
import type { FileLayer } from './files.ts'

/**
 * How far the store has a log, in `<processId>.replayed` beside it. Only a hint that makes the next start shorter:
 * replay is idempotent, and without the file a whole log is replayed.
 */
export interface Replayed {
  /** The last event that the store's index has. */
  seq: number
  /** The last event whose effects recovery need not apply. */
  effectsSeq: number
  /** A segment at or before the one that holds the event behind effectsSeq: reading begins there. */
  segment: number
  done: boolean
  /** A person lets the log stand as it is (audit/acceptance.ts): from then on nothing of it changes. */
  isAccepted?: boolean
}

/**
 * Behind this many milliseconds with the store up, a room has written what it acknowledged: recovery need not
 * apply it again.
 */
const EFFECTS_SETTLED_MS = 300_000
/** Flushes that wait until their effects have settled. */
const UNSETTLED_MAX = 32

/** The mark of a log that is still written: follows its segments, its flushes and the store. */
export class ReplayProgress {
  #effectsSeq = -1
  #storeUpSinceMs: number
  /** Flushes with their time: the newest that is old enough moves `#effectsSeq`. */
  #unsettled: Array<{ seq: number, atMs: number }> = []
  /** First event of each segment since the one that `#effectsSeq` is in; with the store down one pair per segment. */
  #starts: Array<{ segment: number, seq: number }> = []

  constructor (nowMs: number) {
    this.#storeUpSinceMs = nowMs
  }

  /** The store failed, or nothing was there yet that it could have missed. */
  storeUpSince (nowMs: number): void {
    this.#storeUpSinceMs = nowMs
  }

  /** An event went into this segment; `firstSeq` is its first when the segment is a new one. */
  wroteTo (segment: number, firstSeq: number): void {
    if (this.#starts.at(-1)?.segment !== segment) this.#starts.push({ segment, seq: firstSeq })
  }

  /** The store has the index through `seq`: the mark that is true now. */
  flushed (seq: number, nowMs: number): Replayed {
    this.#unsettled.push({ seq, atMs: nowMs })
    const settled = this.#unsettled.findLast(({ atMs }) =>
      nowMs - atMs >= EFFECTS_SETTLED_MS && nowMs - this.#storeUpSinceMs >= EFFECTS_SETTLED_MS
    )
    this.#effectsSeq = Math.max(this.#effectsSeq, settled?.seq ?? -1)
    // The oldest are kept, as they ripen first.
    this.#unsettled = this.#unsettled.filter((flush) => flush.seq > this.#effectsSeq).slice(0, UNSETTLED_MAX)
    const before = this.#starts.findLastIndex((start) => start.seq <= this.#effectsSeq + 1)
    if (before > 0) this.#starts = this.#starts.slice(before)
    return { seq, effectsSeq: this.#effectsSeq, segment: this.#starts[0]?.segment ?? 0, done: false }
  }
}

export async function writeReplayed (
  files: FileLayer,
  directory: string,
  processId: string,
  replayed: Replayed
): Promise<void> {
  await replaceFile(files, directory, replayedName(processId), Buffer.from(JSON.stringify(replayed)))
}

export async function readReplayed (files: FileLayer, directory: string, processId: string): Promise<Replayed> {
  try {
    const { seq, effectsSeq, segment, done, isAccepted } = JSON.parse(
      (await files.read(`${directory}/${replayedName(processId)}`)).toString()
    ) as Partial<Replayed>
    return {
      seq: Number(seq ?? -1),
      effectsSeq: Number(effectsSeq ?? -1),
      segment: Number(segment ?? 0),
      done: done === true,
      isAccepted: isAccepted === true
    }
  } catch {
    // Absent or damaged: everything is replayed, which is only slower.
    return { seq: -1, effectsSeq: -1, segment: 0, done: false }
  }
}

function replayedName (processId: string): string {
  return `${processId}.replayed`
}
