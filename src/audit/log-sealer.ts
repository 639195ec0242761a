import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { GENESIS } from '../journal/chain.ts'
import { isErrno } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import type { DeadLog, LogEnd, LogSeals } from '../journal/recovery.ts'
import { listProcesses } from '../journal/segments.ts'
import { createSeals, holdsCheckpoint, readSeals, sealsName } from './checkpoints.ts'
import type { Checkpoint, SealsRead } from './checkpoints.ts'
import { auditCheckpoints } from './collections.ts'
import type { StoredCheckpoint } from './collections.ts'
import type { Signer } from './signing.ts'
import { readTrailId } from './trail-id.ts'

interface LogSealerOptions {
  files: FileLayer
  directory: string
  signer: Signer
  clock: Clock
  storage: Storage
}

type SealsPlace = Pick<LogSealerOptions, 'files' | 'directory' | 'signer'>

/** Newest signatures that are verified before a log is closed, as a start waits; `neko audit verify` takes all. */
const SIGNATURES_MAX = 1_000

/**
 * Judges the seals of logs that dead processes left, and seals their ends in the writers' stead: in the seals file,
 * then in the store. Seals that do not hold are evidence: nothing is written behind them, and nothing begun anew.
 */
export function createLogSealer (options: LogSealerOptions): LogSeals {
  const { files, directory, storage } = options
  const stored = storage.collection<StoredCheckpoint>(auditCheckpoints)
  return {
    // The store first: what it has of a log stands in the seals by then.
    examine: async (processId) => judge(options, processId, await stored.get(processId)),
    async seal (end) {
      const checkpoint = await sealClose(options, end)
      if (checkpoint === null) return
      const trailId = await readTrailId(files, directory)
      await stored.put({ id: end.processId, trailId, ...checkpoint })
    }
  }
}

/** The same judgement where no store may answer: then on the files alone. */
export function createLogExaminer (
  { storage, ...place }: SealsPlace & { storage: Storage | null }
): LogSeals['examine'] {
  let stored = storage?.collection<StoredCheckpoint>(auditCheckpoints)
  return async (processId) => {
    const kept = await stored?.get(processId).catch(() => {
      // Not waited for once more with each log.
      stored = undefined
      return null
    })
    return await judge(place, processId, kept ?? null)
  }
}

async function judge (options: SealsPlace, processId: string, kept: Checkpoint | null): Promise<DeadLog> {
  const read = await readFile(options, processId)
  const unknown = { begins: null, sealed: { reaches: null, lines: new Set<string>() } }
  if (typeof read === 'string') return { ...unknown, problem: read }
  const bad = read.problems[0]
  if (bad !== undefined) return { ...unknown, problem: `line ${bad.line} of its seals: ${bad.message}` }
  const problem = await isUnopened(options, processId, read)
    ? 'its seals hold no checkpoint'
    : kept === null ? null : missedBy(kept, read.checkpoints, options.signer)
  const verified = read.checkpoints.slice(-SIGNATURES_MAX)
  const removed = read.checkpoints.findLast(({ kind }) => kind === 'removed')
  return {
    problem,
    begins: { segment: (removed?.segment ?? -1) + 1, hash: removed?.hash ?? GENESIS },
    sealed: {
      reaches: verified.reduce(further, null),
      lines: new Set(verified.map(({ hash }) => hash))
    }
  }
}

/** The first checkpoint is synced before a log's first byte: without one, only seals that stand alone are sound. */
async function isUnopened ({ files, directory }: SealsPlace, processId: string, read: SealsRead): Promise<boolean> {
  if (read.checkpoints.length > 0) return false
  return (await listProcesses(files, directory)).some((log) => log.processId === processId && log.segments.length > 0)
}

function further (most: Checkpoint | null, seal: Checkpoint): Checkpoint | null {
  return seal.hash !== GENESIS && seal.seq >= (most?.seq ?? -1) ? seal : most
}

/** The seals as they are read, or why they cannot be. */
async function readFile (
  { files, directory, signer }: SealsPlace,
  processId: string
): Promise<SealsRead | string> {
  try {
    const bytes = await files.read(`${directory}/${sealsName(processId)}`)
    return readSeals(bytes, processId, signer, SIGNATURES_MAX)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'its seals are missing'
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    return `its seals cannot be read (${code})`
  }
}

/** What the store's newest checkpoint says against the seals. */
function missedBy (kept: Checkpoint, seals: readonly Checkpoint[], signer: Signer): string | null {
  if (!holdsCheckpoint(signer, kept)) return 'the signature of its checkpoint in the store does not hold'
  const own = seals.find(({ number }) => number === kept.number)
  if (own === undefined) return `checkpoint ${kept.number}, which the store holds, is missing in its seals`
  return own.hash === kept.hash ? null : `checkpoint ${kept.number} of its seals is not the one that the store holds`
}

/** The `close` checkpoint behind those that the seals file holds, or null when it is there already. */
async function sealClose (
  { files, directory, signer, clock }: LogSealerOptions,
  { processId, segment, seq, hash }: LogEnd
): Promise<Checkpoint | null> {
  const bytes = await files.read(`${directory}/${sealsName(processId)}`)
  const { checkpoints, tornAt } = readSeals(bytes, processId, signer, SIGNATURES_MAX)
  if (checkpoints.some((seal) => seal.kind === 'close' && seal.hash === hash)) return null
  const resume = { number: checkpoints.length, length: tornAt < 0 ? bytes.length : tornAt }
  const seals = createSeals({ files, directory, processId, signer, resume })
  try {
    // Its first line was torn: this one stands in its place.
    const at = clock.now()
    if (checkpoints.length === 0) await seals.append({ kind: 'open', segment: 0, seq: -1, hash: GENESIS, at })
    return await seals.append({ kind: 'close', segment, seq, hash, at })
  } finally {
    seals.close()
  }
}
