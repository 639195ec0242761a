import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import type { EffectSet } from './effect-set.ts'
import type { FileLayer } from './files.ts'
import { readReplayed } from './replay-mark.ts'
import { countedLines, eventOf, listProcesses, readLines, segmentName } from './segments.ts'
import type { SegmentLines } from './segments.ts'

/** How far a log was read: the last line, and the byte behind it. */
interface Place {
  segment: number
  offset: number
  hash: string | null
  /** Nothing before has effects that are not settled. */
  afterSeq: number
  /** What follows is no chain: nothing more of it is believed, as in recovery. */
  isBroken: boolean
}

interface LivingLogsOptions {
  directory: string
  files: FileLayer
  /** Logs that recovery brings in; whoever began one since is among the living too. */
  ended: ReadonlySet<string>
  effects: EffectSet
}

/**
 * Changes that living processes of this host logged: later than those of the dead, whatever the store has of them. Read
 * many times while they go on writing, so each line is read once. What is logged is not acknowledged before it is
 * synced; where a disk failed in between, a refused change counts as made until recovery begins anew.
 */
export class LivingLogs {
  readonly #options: LivingLogsOptions
  readonly #places = new Map<string, Place>()

  constructor (options: LivingLogsOptions) {
    this.#options = options
  }

  /** What they wrote since the last reading goes into the set. @throws NEKO_ERR_STORE_UNAVAILABLE: begin anew */
  async read (): Promise<void> {
    const { files, directory, ended } = this.#options
    for (const { processId, segments } of await listProcesses(files, directory)) {
      if (!ended.has(processId)) await this.#readLog(processId, segments)
    }
  }

  async #readLog (processId: string, segments: readonly number[]): Promise<void> {
    const place = this.#places.get(processId) ?? await this.#begin(processId)
    if (place.isBroken) return
    const wanted = segments.filter((segment) => segment >= place.segment)
    let next = await this.#readSegment(processId, wanted[0], place)
    for (const [index, segment] of wanted.entries()) {
      const read = next!
      next = await this.#readSegment(processId, wanted[index + 1])
      const lines = countedLines(read, next?.lines[0])
      // A disk that failed takes back lines that nobody was told of: they may be among those that were read.
      const isCutBack = lines[0] === undefined
        ? read.problem !== null
        : place.hash !== null && lines[0].prevHash !== place.hash
      if (isCutBack && place.hash !== null) throw cutBack()
      for (const event of lines.map(eventOf)) {
        if (event !== null && event.seq > place.afterSeq) this.#options.effects.addLiving(event)
      }
      const from = segment === place.segment ? place.offset : 0
      // A line that is being written is read with the next ones.
      place.offset = from + (read.ends[lines.length - 1] ?? 0)
      place.segment = segment
      place.hash = lines.at(-1)?.hash ?? place.hash
      place.isBroken = read.problem !== null && lines.length === read.lines.length
      if (place.isBroken) return
    }
  }

  async #begin (processId: string): Promise<Place> {
    const { files, directory } = this.#options
    const { effectsSeq, segment } = await readReplayed(files, directory, processId)
    const place = { segment, offset: 0, hash: null, afterSeq: effectsSeq, isBroken: false }
    this.#places.set(processId, place)
    return place
  }

  /** From the place on, when it is in this segment. */
  async #readSegment (
    processId: string,
    segment: number | undefined,
    place?: Place
  ): Promise<SegmentLines | undefined> {
    if (segment === undefined) return undefined
    const { files, directory } = this.#options
    const path = `${directory}/${segmentName(processId, segment)}`
    const from = place?.segment === segment ? place.offset : 0
    const size = await files.size(path)
    if (size < from) throw cutBack()
    return readLines(size === from ? Buffer.alloc(0) : await files.read(path, from))
  }
}

function cutBack (): Error {
  return new NEKO_ERR_STORE_UNAVAILABLE({ cause: new Error('the log of a living process was cut back') })
}
