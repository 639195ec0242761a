import type { EffectSet } from './effect-set.ts'
import type { FileLayer } from './files.ts'
import { readReplayed } from './replay-mark.ts'
import { eventOf, listProcesses, readLines, segmentName } from './segments.ts'

/** The mark of a log that was begun since. */
const NOTHING = { seq: -1, segment: 0 }

/** A byte of a log. */
interface Place { segment: number, offset: number }

/**
 * Where the reading of the logs begins, kept over the calls of one recovery: whatever the living wrote since its first
 * look may have met what it put. What they flushed before that the index tells.
 */
export interface LivingSince { hasBegun: boolean, marks: Map<string, { afterSeq: number, segment: number }> }

interface LivingLogsOptions {
  directory: string
  files: FileLayer
  isLive: (processId: string) => boolean
  effects: EffectSet
  since: LivingSince
}

/**
 * Changes that living processes of this host logged: later than those of the dead, whatever the store has of them. Read
 * many times while they go on writing, so each line is read once.
 */
export class LivingLogs {
  readonly #options: LivingLogsOptions
  readonly #places = new Map<string, Place>()

  constructor (options: LivingLogsOptions) {
    this.#options = options
  }

  /** What they wrote since the last reading goes into the set. */
  async read (): Promise<void> {
    const { files, directory, isLive, since } = this.#options
    for (const { processId, segments } of await listProcesses(files, directory)) {
      if (isLive(processId)) await this.#readLog(processId, segments)
    }
    since.hasBegun = true
  }

  async #readLog (processId: string, segments: readonly number[]): Promise<void> {
    const { files, directory, effects, since } = this.#options
    let from = since.marks.get(processId)
    if (from === undefined) {
      const { seq, segment } = since.hasBegun ? NOTHING : await readReplayed(files, directory, processId)
      since.marks.set(processId, from = { afterSeq: seq, segment })
    }
    let place = this.#places.get(processId) ?? { segment: from.segment, offset: 0 }
    for (const segment of segments) {
      if (segment < place.segment) continue
      const offset = segment === place.segment ? place.offset : 0
      const path = `${directory}/${segmentName(processId, segment)}`
      if (await files.size(path) === offset) continue
      const { lines, ends } = readLines(await files.read(path), offset)
      for (const event of lines.map(eventOf)) {
        if (event !== null && event.seq > from.afterSeq) effects.add(event, false)
      }
      // A line that is being written is read with the next ones.
      this.#places.set(processId, place = { segment, offset: ends.at(-1) ?? offset })
    }
  }
}
