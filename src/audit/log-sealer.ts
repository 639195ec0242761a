import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { GENESIS } from '../journal/chain.ts'
import { isErrno } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import type { LogEnd, SealLog } from '../journal/recovery.ts'
import { createSeals, readSeals, sealsName } from './checkpoints.ts'
import type { Checkpoint } from './checkpoints.ts'
import { auditCheckpoints } from './collections.ts'
import type { StoredCheckpoint } from './collections.ts'
import type { Signer } from './signing.ts'
import { ensureTrailId } from './trail-id.ts'

interface LogSealerOptions {
  files: FileLayer
  directory: string
  signer: Signer
  clock: Clock
  storage: Storage
}

/** Seals logs that recovery has closed, in their dead writers' stead: in the seals file, then in the store. */
export function createLogSealer (options: LogSealerOptions): SealLog {
  const { files, directory, storage } = options
  return async (end) => {
    const checkpoint = await sealClose(options, end)
    if (checkpoint === null) return
    const trailId = await ensureTrailId(files, directory)
    await storage.collection<StoredCheckpoint>(auditCheckpoints).put({ id: end.processId, trailId, ...checkpoint })
  }
}

/** The `close` checkpoint behind those that the seals file holds, or null when it is there already. */
async function sealClose (
  { files, directory, signer, clock }: LogSealerOptions,
  { processId, segment, seq, hash }: LogEnd
): Promise<Checkpoint | null> {
  const bytes = await files.read(`${directory}/${sealsName(processId)}`).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return Buffer.alloc(0)
    throw error
  })
  const read = readSeals(bytes, processId, signer)
  if (read.checkpoints.some((seal) => seal.kind === 'close' && seal.hash === hash)) return null
  const newest = read.checkpoints.at(-1)
  const length = read.tornAt < 0 ? bytes.length : read.tornAt
  const seals = createSeals({
    files,
    directory,
    processId,
    signer,
    resume: { number: (newest?.number ?? -1) + 1, length }
  })
  try {
    if (newest === undefined) seals.begin(clock.now(), GENESIS)
    return await seals.append({ kind: 'close', segment, seq, hash, at: clock.now() })
  } finally {
    seals.close()
  }
}
