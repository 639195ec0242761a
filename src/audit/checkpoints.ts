import type { FileLayer, OpenFile } from '../journal/files.ts'
import type { FileWatch } from '../std/file-watch.ts'
import { isUnfinished, splitLines } from '../journal/chain.ts'
import type { Signer } from './signing.ts'

/**
 * Checkpoints: signed statements about the chain, in `<processId>.seals` beside the segments, one JSON line
 * each, numbered without gaps. A chain alone can be cut or rebuilt by who can write the file; what a
 * checkpoint names cannot.
 *
 * open: this process start exists. checkpoint: the chain ran through `hash` at `seq`. close: it ends there.
 * removed: retention took the segments up to `segment`; the chain goes on behind `hash`.
 */
type SealKind = 'open' | 'checkpoint' | 'close' | 'removed'

export interface Checkpoint {
  /** `<processId>` and number, as the store and the log know it. */
  processId: string
  number: number
  kind: SealKind
  segment: number
  /** The last event covered; -1 before the first. */
  seq: number
  /** Hash of the last line covered. */
  hash: string
  at: number
  keyId: string
  signature: string
}

const HEAD = Buffer.from('{"signature":"')
const SIGNATURE_END = HEAD.length + 128
const REMOVED = Buffer.from('"kind":"removed"')
const BODY = SIGNATURE_END + 2

type CheckpointInput = Omit<Checkpoint, 'keyId' | 'signature'>

/** Signs; the signature covers every byte of the line behind it. */
function signCheckpoint (signer: Signer, input: CheckpointInput): { checkpoint: Checkpoint, text: string } {
  const { processId, number, kind, segment, seq, hash, at } = input
  const fields = { processId, number, kind, segment, seq, hash, at, keyId: signer.keyId }
  const body = JSON.stringify(fields).slice(1)
  const signature = signer.sign(body)
  return { checkpoint: { ...fields, signature }, text: `{"signature":"${signature}",${body}\n` }
}

/** A checkpoint as the store or the log holds it, verified: true when one of the signer's keys made it. */
export function holdsCheckpoint (signer: Signer, given: Checkpoint): boolean {
  return signer.verify(bodyOf(given), given.signature, given.keyId)
}

function bodyOf ({ processId, number, kind, segment, seq, hash, at, keyId }: Checkpoint): string {
  return JSON.stringify({ processId, number, kind, segment, seq, hash, at, keyId }).slice(1)
}

export interface SealsRead {
  checkpoints: Checkpoint[]
  /** Where an unfinished last line begins, -1 when there is none. */
  tornAt: number
  /** Bad lines, counted from 1. */
  problems: Array<{ line: number, message: string }>
}

/** Longer than any checkpoint: what is unfinished at the end and has more bytes is no torn line. */
const LINE_BYTES_MAX = 1_024

/**
 * Reads and verifies a seals file. `newest`: of so many at the end, of the first, and of what retention removed, the
 * signatures are verified; of the others the form and the numbers alone, so that nothing may be built on what they say.
 */
export function readSeals (bytes: Buffer, processId: string, signer: Signer, newest = Infinity): SealsRead {
  const { spans, tornAt } = splitLines(bytes)
  const read: SealsRead = { checkpoints: [], tornAt: tornAt < bytes.length ? tornAt : -1, problems: [] }
  if (!isUnfinished(bytes.subarray(tornAt), HEAD, LINE_BYTES_MAX)) {
    read.problems.push({ line: spans.length + 1, message: 'what stands at the end is no torn checkpoint' })
  }
  for (const [index, [start, end]] of spans.entries()) {
    const isSigned = index === 0 || index >= spans.length - newest || bytes.subarray(start, end).includes(REMOVED)
    const found = decodeSeal(bytes, start, end, isSigned ? signer : null)
    const message = typeof found === 'string' ? found : misplaced(found, processId, index)
    if (message !== null) read.problems.push({ line: index + 1, message })
    if (typeof found !== 'string') read.checkpoints.push(found)
  }
  return read
}

function misplaced (found: Checkpoint, processId: string, index: number): string | null {
  if (found.processId !== processId) return `the checkpoint is of process ${found.processId}`
  return found.number === index ? null : `checkpoint ${found.number} stands where ${index} belongs`
}

/** Without a signer the signature is not verified. */
function decodeSeal (bytes: Buffer, start: number, end: number, signer: Signer | null): Checkpoint | string {
  if (end - start < BODY + 2 || HEAD.compare(bytes, start, start + HEAD.length) !== 0) {
    return 'the line is no checkpoint'
  }
  if (bytes[start + SIGNATURE_END] !== 0x22 || bytes[start + SIGNATURE_END + 1] !== 0x2c) {
    return 'the line is no checkpoint'
  }
  const signature = bytes.toString('latin1', start + HEAD.length, start + SIGNATURE_END)
  if (signer !== null && !signer.verify(bytes.subarray(start + BODY, end), signature)) {
    return 'the signature does not hold (edited, or sealed by a key that AUDIT_SIGNING_KEY does not list)'
  }
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as Checkpoint
  } catch {
    return 'the line is no checkpoint'
  }
}

/** The file that holds the checkpoints of one process start. */
export function sealsName (processId: string): string {
  return `${processId}.seals`
}

/** The writer of one seals file; its owner calls one at a time. */
export interface Seals {
  /**
   * Creates the file with its `open` line, synced: from then on a missing file is a finding. Null when it has begun
   * already. A file that is there is evidence of somebody else, and stays: EEXIST.
   */
  begin (at: number, prevHash: string): Checkpoint | null
  /** Durable when it resolves. After a failure the next call writes the same number again. */
  append (input: Omit<CheckpointInput, 'processId' | 'number'>): Promise<Checkpoint>
  close (): void
}

interface SealsOptions {
  files: FileLayer
  /** Of the process whose own log is sealed: its file is one of those that must stay in their places. */
  watch?: FileWatch
  directory: string
  processId: string
  signer: Signer
  /** Of a file that exists (recovery, retention): the next number, and its length up to which it is good. */
  resume?: { number: number, length: number }
}

export function createSeals ({ files, watch, directory, processId, signer, resume }: SealsOptions): Seals {
  const path = `${directory}/${sealsName(processId)}`
  let file: OpenFile | null = null
  let isMade = false
  let number = resume?.number ?? 0
  let position = resume?.length ?? 0
  /** After a failed sync the file is opened anew: the old descriptor may have forgotten that it lost something. */
  const reopened = (): OpenFile => {
    if (file !== null) return file
    // What was put in the place of ours is not cut back.
    if (watch?.look() != null) throw new Error('a file was removed or replaced')
    file = files.open(path, 'existing')
    file.truncate(position)
    return file
  }
  const drop = (): void => {
    try {
      file?.close()
    } catch { /* its error came already with the sync */ }
    file = null
  }
  return {
    begin (at, prevHash) {
      if (number > 0) return null
      const { checkpoint, text } = signCheckpoint(signer, {
        processId,
        number: 0,
        kind: 'open',
        segment: 0,
        seq: -1,
        hash: prevHash,
        at
      })
      const bytes = Buffer.from(text)
      if (isMade) {
        file ??= files.open(path, 'existing')
        file.truncate(0)
      } else file = files.open(path, 'create')
      isMade = true
      try {
        file.writeNow(bytes, 0)
        file.syncNow()
        files.syncDirectoryNow(directory)
      } catch (error) {
        // Made by this writer, and without a promise in it yet: begun again with the next try.
        drop()
        throw error
      }
      watch?.keep(path, file.identity)
      number = 1
      position = bytes.length
      return checkpoint
    },
    async append (input) {
      const { checkpoint, text } = signCheckpoint(signer, { ...input, processId, number })
      const bytes = Buffer.from(text)
      try {
        const target = reopened()
        await target.write(bytes, position)
        await target.sync()
      } catch (error) {
        drop()
        throw error
      }
      number++
      position += bytes.length
      return checkpoint
    },
    close: drop
  }
}
