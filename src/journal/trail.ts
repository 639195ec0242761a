/**
 * The write-ahead log of one process start.
 *
 * Owns: the queue of records that wait, the open segment, the place in the chain. Never does: read, sign,
 * know the store. In: entries (already JSON text). Out: acknowledgements after the sync, and `onCommitted`
 * with what is now durable.
 *
 * Group commit: all that waits goes out in one write and one fdatasync; meanwhile the next group gathers. So
 * the number of syncs follows the speed of the disk and not the number of events, and nobody waits more than
 * DELAY_MS for company.
 *
 * When the disk fails: an fdatasync that failed is never repeated on its file, because the kernel forgets the pages it
 * could not write. The segment is cut back to its last acknowledged line and closed, a new one begins (reason `error`),
 * and the records are written again, once at once. If that fails too the trail is unhealthy: `durable` is
 * refused at once, plain records wait in the bounded queue, and every RETRY_MS a line `audit.resumed` tries
 * the disk.
 *
 * When a file that this process holds open no longer stands at its path, nobody would find what is written to it: each
 * commit looks behind its sync, before anybody is told. Then nothing is begun in its place: the trail is unhealthy
 * until the file is back, and goes on in it.
 *
 * When records come faster than the disk takes them: at BACKLOG_MAX a plain record holds its caller back, by
 * committing on the caller's own time. Where that cannot help (a sync is under way, or the disk is down) it
 * is counted by category, and the count becomes an `audit.overflow` event of the trail itself: nothing is
 * dropped silently.
 */
import { encodeLine, GENESIS } from './chain.ts'
import type { OpenReason } from './chain.ts'
import { isErrno } from './files.ts'
import type { FileLayer, OpenFile } from './files.ts'
import { SEGMENT_BYTES, segmentName } from './segments.ts'
import type { Clock } from '../std/clock.ts'
import type { FileWatch } from '../std/file-watch.ts'

/** Records that may wait for the disk. */
const BACKLOG_MAX = 10_000
/** A plain record waits at most this long for company; one with a caller behind it, DURABLE_DELAY_MS. */
const DELAY_MS = 8
const DURABLE_DELAY_MS = 1
/** How often a failed disk is tried again: a fifth of the 5 s after which acknowledging must go on. */
const RETRY_MS = 500
/** One write: keeps a group's buffer in memory small. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024

/** One record. `json` is the object text of the input, effects included. */
export interface Entry {
  json: string
  category: string
  at: number
  /** Place in the chain; -1 until committed. */
  seq: number
  state: 'waiting' | 'writing' | 'done' | 'refused'
  settle: { resolve: () => void, reject: (error: Error) => void } | null
}

export interface TrailPosition { segment: number, seq: number, hash: string }

interface TrailOptions {
  files: FileLayer
  /** Of all files that must be in their places when something is acknowledged; the open segment is added here. */
  watch: FileWatch
  directory: string
  processId: string
  clock: Pick<Clock, 'now' | 'after'>
  /** Before the first segment: the seals file exists. May throw like the disk. */
  begin: () => void
  onCommitted: (entries: Entry[], position: TrailPosition) => void
  onHealth: (healthy: boolean, error: Error | null) => void
  /** The trail's own events (overflow, resumed, withdrawn) as entries. */
  ownEntry: (
    type: string,
    target: string | null,
    details: { [key: string]: number | { [key: string]: number } }
  ) => Entry
  segmentBytes?: number
}

/** Codes of a disk that is full. */
const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG']

/** A file does not stand at its path any more. */
export class FileLost extends Error {
  constructor () { super('a file was removed or replaced') }
}

export class Trail {
  readonly #options: TrailOptions
  readonly #segmentBytes: number
  #waiting: Entry[] = []
  #writing = false
  #timer: NodeJS.Timeout | null = null
  #timerDelayMs = Infinity
  #file: OpenFile | null = null
  #segment = -1
  #offset = 0
  #reason: OpenReason = 'start'
  #seq = 0
  #hash = GENESIS
  #failedSince: number | null = null
  #resumed: Entry | null = null
  #overflow: { [category: string]: number } = {}
  #overflowing = false
  #drained: Array<() => void> = []
  #closed = false
  #syncs = 0

  constructor (options: TrailOptions) {
    this.#options = options
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
  }

  get healthy (): boolean { return this.#failedSince === null && !this.#closed }
  get backlog (): number { return this.#waiting.length }
  get syncs (): number { return this.#syncs }
  get position (): TrailPosition { return { segment: this.#segment, seq: this.#seq - 1, hash: this.#hash } }

  /** A plain record: never throws, never waits for the event loop. */
  add (entry: Entry): void {
    if (this.#closed || (this.#waiting.length >= BACKLOG_MAX && !this.#makeRoom())) return this.#count(entry)
    this.#waiting.push(entry)
    this.#schedule(entry.settle === null ? DELAY_MS : DURABLE_DELAY_MS)
  }

  /** True when an entry would be taken now. */
  hasRoom (): boolean { return this.#waiting.length < BACKLOG_MAX }

  /** Resolves at the next moment something left the queue. */
  room (): Promise<void> { return new Promise((resolve) => { this.#drained.push(resolve) }) }

  /** Takes back an entry that still waits: true when it will not be written. */
  withdraw (entry: Entry): boolean {
    if (entry.state !== 'waiting') return false
    entry.state = 'refused'
    return true
  }

  /** Resolves when nothing waits or is being written, or the disk fails. */
  async idle (): Promise<void> {
    while ((this.#writing || this.#waiting.length > 0) && this.#failedSince === null) {
      const moved = this.room()
      if (!this.#writing) this.#commitSoon()
      await moved
    }
    while (this.#writing) await this.room()
  }

  /**
   * Commits what waits, writes the `close` line and lets go. Returns the last position, or null when nothing
   * was ever written or the disk failed.
   */
  async close (): Promise<TrailPosition | null> {
    await this.idle()
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#refuse(this.#waiting.splice(0), new Error('the trail is closed'))
    const file = this.#file
    if (file === null || this.#failedSince !== null || this.#options.watch.look() !== null) return null
    const line = encodeLine(this.#hash, 'close', this.#seq, `"at":${this.#options.clock.now()}`)
    try {
      await file.write(Buffer.from(line.text), this.#offset)
      await file.sync()
      this.#hash = line.hash
      return this.position
    } catch {
      return null
    } finally {
      this.#abandon()
    }
  }

  #schedule (delayMs: number): void {
    if (this.#writing || this.#failedSince !== null || delayMs >= this.#timerDelayMs) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timerDelayMs = delayMs
    // On real time, and not unref'd: the disk's pace, and whoever awaits the event may have nothing else alive.
    this.#timer = setTimeout(() => { this.#commitSoon() }, delayMs)
  }

  #commitSoon (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#timerDelayMs = Infinity
    // Never rejects: what fails is told to those who wait.
    this.#commit().catch(() => {})
  }

  async #commit (): Promise<void> {
    if (this.#writing || this.#closed) return
    const group = this.#takeGroup()
    if (group.length === 0) return this.#announce()
    this.#writing = true
    const error = await this.#write(group).then(() => null, (first: Error) => this.#again(group, first))
    this.#writing = false
    if (error !== null) this.#fail(group, error)
    this.#announce()
    if (this.#waiting.length > 0 && error === null) {
      this.#schedule(this.#waiting.some((entry) => entry.settle !== null) ? DURABLE_DELAY_MS : DELAY_MS)
    }
  }

  /** A second try at once: a bad page or a passing fault must not refuse anybody. A full disk is given time instead. */
  async #again (group: Entry[], first: Error): Promise<Error | null> {
    if (isSound(first)) {
      this.#giveUpSegment(true)
      return first
    }
    this.#giveUpSegment(false)
    try {
      await this.#write(group)
      return null
    } catch (second) {
      this.#giveUpSegment(isSound(second))
      return second as Error
    }
  }

  #takeGroup (): Entry[] {
    const group: Entry[] = []
    let bytes = 0
    let taken = 0
    for (const entry of this.#waiting) {
      if (bytes > GROUP_BYTES_MAX) break
      taken++
      if (entry.state === 'refused') continue
      entry.state = 'writing'
      bytes += entry.json.length + 256
      group.push(entry)
    }
    this.#waiting = taken === this.#waiting.length ? [] : this.#waiting.slice(taken)
    return group
  }

  async #write (group: Entry[]): Promise<void> {
    const { opened, bytes, hash } = this.#prepare(group)
    const file = this.#file as OpenFile
    await file.write(bytes, this.#offset)
    await file.sync()
    if (opened) await this.#options.files.syncDirectory(this.#options.directory)
    this.#requireInPlace()
    this.#acknowledge(group, bytes.length, hash)
  }

  /** The same on the caller's own time, for back-pressure. */
  #writeNow (group: Entry[]): void {
    const { opened, bytes, hash } = this.#prepare(group)
    const file = this.#file as OpenFile
    file.writeNow(bytes, this.#offset)
    file.syncNow()
    if (opened) this.#options.files.syncDirectoryNow(this.#options.directory)
    this.#requireInPlace()
    this.#acknowledge(group, bytes.length, hash)
  }

  #requireInPlace (): void {
    if (this.#options.watch.look() !== null) throw new FileLost()
  }

  #prepare (group: Entry[]): { opened: boolean, bytes: Buffer, hash: string } {
    this.#requireInPlace()
    if (this.#file !== null && this.#offset >= this.#segmentBytes) {
      this.#abandon()
      this.#reason = 'rotate'
    }
    const opened = this.#file === null || this.#offset === 0
    if (this.#file === null) this.#openSegment()
    let hash = this.#hash
    let seq = this.#seq
    const texts: string[] = []
    const { processId, clock } = this.#options
    if (opened) {
      const line = encodeLine(
        hash,
        'open',
        seq,
        `"processId":"${processId}","segment":${this.#segment},"reason":"${this.#reason}","at":${clock.now()}`
      )
      texts.push(line.text)
      hash = line.hash
    }
    for (const entry of group) {
      entry.seq = seq
      const line = encodeLine(
        hash,
        'event',
        seq,
        `"event":{"id":"${eventId(processId, seq)}","at":${entry.at},` +
          `"processId":"${processId}","seq":${seq},${entry.json.slice(1)}`
      )
      texts.push(line.text)
      hash = line.hash
      seq++
    }
    return { opened, bytes: Buffer.from(texts.join('')), hash }
  }

  #openSegment (): void {
    const { files, directory, processId, begin } = this.#options
    if (this.#segment < 0) {
      files.makeDirectory(directory)
      begin()
    }
    const path = `${directory}/${segmentName(processId, this.#segment + 1)}`
    this.#file = files.open(path, 'create')
    this.#options.watch.keep(path, this.#file.identity)
    this.#segment++
    this.#offset = 0
  }

  #acknowledge (group: Entry[], bytes: number, hash: string): void {
    this.#syncs++
    this.#offset += bytes
    this.#hash = hash
    this.#seq += group.length
    if (this.#failedSince !== null) {
      this.#failedSince = null
      this.#options.onHealth(true, null)
    }
    for (const entry of group) {
      entry.state = 'done'
      entry.settle?.resolve()
    }
    this.#options.onCommitted(group, this.position)
    this.#reportOverflow()
  }

  /** Leaves the segment as if the failed group had never been: cut back, and unless it is sound itself, closed. */
  #giveUpSegment (sound: boolean): void {
    if (this.#file === null) return
    let cut = true
    try {
      this.#file.truncate(this.#offset)
    } catch {
      cut = false
    }
    if (this.#offset > 0 && sound && cut) return
    const empty = this.#offset === 0
    this.#abandon()
    this.#reason = this.#segment === 0 && empty ? 'start' : 'error'
    // Of a file that was lost nobody knows what stands in its place.
    if (empty && cut && this.#options.watch.lost === null) this.#forgetEmptySegment()
  }

  /** A segment without an acknowledged line is removed, so that a disk full for hours does not gather empty files. */
  #forgetEmptySegment (): void {
    const { files, directory, processId } = this.#options
    // Its number is not used again: the removal may come late.
    files.remove(`${directory}/${segmentName(processId, this.#segment)}`).catch(
      () => { /* stays, and counts nothing */ }
    )
  }

  #abandon (): void {
    if (this.#file === null) return
    const { watch, directory, processId } = this.#options
    watch.release(`${directory}/${segmentName(processId, this.#segment)}`)
    try {
      this.#file.close()
    } catch { /* what mattered was the sync */ }
    this.#file = null
  }

  #fail (group: Entry[], error: Error): void {
    if (this.#failedSince === null) {
      this.#failedSince = this.#options.clock.now()
      this.#options.onHealth(false, error)
    }
    const kept: Entry[] = []
    for (const entry of [...group, ...this.#waiting]) {
      if (entry.settle !== null) this.#refuse([entry], error)
      else if (entry.state !== 'refused') (kept.length < BACKLOG_MAX ? kept.push(entry) : this.#count(entry))
    }
    for (const entry of kept) entry.state = 'waiting'
    this.#waiting = kept
    this.#options.clock.after(RETRY_MS, () => { this.#retry() })
  }

  #retry (): void {
    if (this.#closed || this.#failedSince === null) return
    // Not added twice: a failing try leaves its entry in the queue.
    this.#waiting = this.#waiting.filter((entry) => entry !== this.#resumed)
    const afterMs = this.#options.clock.now() - this.#failedSince
    this.#resumed = this.#options.ownEntry('audit.resumed', null, { afterMs })
    if (this.#waiting.length < BACKLOG_MAX) this.#waiting.push(this.#resumed)
    this.#commitSoon()
  }

  #refuse (entries: Entry[], error: Error): void {
    for (const entry of entries) {
      entry.state = 'refused'
      entry.settle?.reject(error)
    }
  }

  /** Back-pressure: the caller pays for a commit. False when that is impossible now. */
  #makeRoom (): boolean {
    if (this.#writing || this.#failedSince !== null) return false
    const group = this.#takeGroup()
    try {
      this.#writeNow(group)
    } catch (error) {
      this.#giveUpSegment(isSound(error))
      this.#fail(group, error as Error)
    }
    this.#announce()
    return this.#waiting.length < BACKLOG_MAX
  }

  #count (entry: Entry): void {
    entry.state = 'refused'
    entry.settle?.reject(new Error('the backlog is full'))
    this.#overflow[entry.category] = (this.#overflow[entry.category] ?? 0) + 1
    this.#overflowing = true
  }

  #reportOverflow (): void {
    if (!this.#overflowing || this.#waiting.length >= BACKLOG_MAX) return
    const counts = this.#overflow
    this.#overflow = {}
    this.#overflowing = false
    this.add(this.#options.ownEntry('audit.overflow', null, { notRecorded: counts }))
  }

  #announce (): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}

/** The file itself is sound, and can be gone on with: cut back and kept. */
function isSound (error: unknown): boolean {
  return isErrno(error, ...FULL) || error instanceof FileLost
}

/** The id of an event is its place, so that replaying it twice finds the same one. */
export function eventId (processId: string, seq: number): string {
  return `ev_${processId}_${seq.toString(36)}`
}
