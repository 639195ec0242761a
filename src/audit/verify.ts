/**
 * Offline verification: does the trail in a directory hold what was sealed?
 *
 * Owns: nothing; only reads. In: segments, seals, the signing key; if there is a store its newest checkpoints, which
 * somebody who edits the files may not reach, and its index of the events, which administrators are shown; checkpoints
 * that were kept elsewhere (`--against`). Out: findings (an edit, a swap, a cut, a missing piece; each with file, line
 * and seq) and notes (no failures: an unsealed or torn tail, a segment being written, what a person has accepted).
 *
 * May run beside the server. The store's checkpoints are read before the seals, and the seals before the segments, and
 * each is written in the opposite order, so that what is sealed is already there; the index follows the segments, and
 * is read behind them.
 */
import { randomBytes } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { lockedLogs } from '../journal/log-locks.ts'
import { listProcesses } from '../journal/segments.ts'
import { systemFiles } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import type { Storage } from '../storage/port.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND, shownMessage } from '../errors.ts'
import { accept, acceptanceOf, digestFiles, isTrailName, settleAccepted } from './acceptance.ts'
import type { Acceptance } from './acceptance.ts'
import { auditDirectory, auditSigner } from './audit.ts'
import type { Checkpoint } from './checkpoints.ts'
import type { StoredCheckpoint } from './collections.ts'
import { createSigner } from './signing.ts'
import type { Signer } from './signing.ts'
import { isStoreError } from './store-error.ts'
import { readTrailId, TRAIL_ID_FILE } from './trail-id.ts'
import { ownOf, placeOf, readStore } from './trail-registry.ts'
import { IndexCheck } from './verify-index.ts'
import { verifyLog } from './verify-log.ts'
import type { LogExtent, Witness } from './verify-log.ts'
import { emptyReport, find, include, note } from './verify-report.ts'
import type { VerifyReport } from './verify-report.ts'

export interface VerifyOptions {
  directory: string
  signer: Signer
  /** The store's checkpoints of this directory's logs, read before this is called; [] without a store. */
  checkpoints: StoredCheckpoint[]
  /** Checkpoints that were kept elsewhere: what they sealed must still be here. */
  against?: readonly Checkpoint[]
  /** The trails that the store knows of this directory. */
  trailIds?: ReadonlySet<string>
  /** Compares the events with the store's index. */
  index?: IndexCheck
  files?: FileLayer
}

/** What only the caller knows. */
export interface VerifyContext {
  /** Why there is no store to ask. */
  why?: string
  against?: readonly Checkpoint[]
  /** When the store's oldest user was made, ms; null without users. The trail is older than any of them. */
  usersSince?: number | null
}

type VerifyConfig = Pick<Config, 'dataDir' | 'auditSigningKey'> & Partial<Pick<Config, 'auditRetentionDays'>>

/**
 * For `neko audit verify`: the data directory against the store, read in this order. A store that cannot answer
 * is no word against the files: they are judged alone then, and a note says so. null: there is no store to ask, as
 * `why` says.
 * @throws the errors of reading the directory
 */
export async function verifyDataDir (
  config: VerifyConfig,
  storage: Storage | null,
  { why = 'none was given', against = [], usersSince = null }: VerifyContext = {}
): Promise<VerifyReport> {
  const directory = auditDirectory(config.dataDir)
  const signer = await verifyingSigner(config, directory)
  const answer = await readStoreOf(storage, config.dataDir, why)
  if (storage === null || typeof answer === 'string') {
    const report = await verifyAudit({ directory, signer, checkpoints: [], against })
    note(report, { file: 'store' }, `the files were not compared with the store: ${answer as string}`)
    // Nothing that holds is no proof that nothing is missing.
    if (report.processes === 0) find(report, { file: 'audit' }, 'there is no log here and no store to ask for one')
    return concluded(report)
  }
  const processIds = new Set((await listProcesses(systemFiles, directory)).map(({ processId }) => processId))
  const known = ownOf(answer, await readTrailId(systemFiles, directory), processIds)
  const index = new IndexCheck({ storage, directory, days: config.auditRetentionDays })
  const report = await verifyAudit({ directory, signer, against, index, ...known })
  if (usersSince !== null) {
    const beginnings = [answer.oldestTrailMs, report.sinceMs].filter((ms) => ms !== null)
    findRemovedTrail(report, beginnings.length === 0 ? null : Math.min(...beginnings), usersSince)
  }
  return concluded(report)
}

/**
 * Without a key nothing can be said of logs: every seal would be a finding, which somebody might accept. Where neither
 * a key nor a log is, there is no seal, and any key does. @throws ConfigError, as auditSigner
 */
async function verifyingSigner (config: VerifyConfig, directory: string): Promise<Signer> {
  const isEmpty = (await systemFiles.list(directory)).length === 0
  return isEmpty && config.auditSigningKey === null
    ? createSigner(randomBytes(32).toString('hex'))
    : auditSigner(config)
}

/**
 * What somebody would accept with a trail as it is now, found out here by whoever signs it. The files are taken before
 * they are judged, so that what changes meanwhile is not accepted.
 * @throws NEKO_ERR_NOT_FOUND: there is no such trail, or nothing is found of it; NEKO_ERR_INPUT_INVALID: it is still
 * written, or is no name
 */
export async function proposeAcceptance (
  config: VerifyConfig,
  storage: Storage,
  { trail, because, processId }: { trail: string, because: string, processId: string }
): Promise<Acceptance> {
  const directory = auditDirectory(config.dataDir)
  if (!isTrailName(trail)) throw new NEKO_ERR_INPUT_INVALID('This is no name of a trail')
  if (trail === processId || (await lockedLogs(systemFiles, directory)).has(trail)) {
    throw new NEKO_ERR_INPUT_INVALID(`${trail} is being written: it can be accepted when its process has ended`)
  }
  const files = await digestFiles(systemFiles, directory, trail)
  const { findings } = await verifyDataDir(config, storage)
  const ofTrail = findings.filter((finding) => finding.trail === trail)
  if (ofTrail.length === 0) throw new NEKO_ERR_NOT_FOUND(`neko audit verify finds nothing of ${trail}`)
  return accept({ trail, because, files }, ofTrail)
}

/** Clocks of hosts that share a store differ, and the first administrator is made shortly before the trail begins. */
const BEGIN_TOLERANCE_MS = 3_600_000

/** A trail that was removed together with what the store knew of it leaves the rest of the store behind. */
function findRemovedTrail (report: VerifyReport, sinceMs: number | null, usersSince: number): void {
  if (report.processes === 0) {
    find(report, { file: 'audit' }, 'there is no log here, and the store has users: the trail was removed, or this ' +
      'server never ran with this DATA_DIR')
  } else if (sinceMs !== null && sinceMs > usersSince + BEGIN_TOLERANCE_MS) {
    find(report, { file: 'audit' }, 'the store has users that are older than the first log and trail that are ' +
      'known: earlier ones were removed, with what the store knew of them')
  }
}

async function readStoreOf (
  storage: Storage | null,
  dataDir: string,
  why: string
): Promise<Awaited<ReturnType<typeof readStore>> | string> {
  if (storage === null) return why
  try {
    return await readStore(storage, placeOf(dataDir))
  } catch (error) {
    if (!isStoreError(error)) throw error
    return shownMessage(error)
  }
}

/** @throws the errors of reading the directory */
export async function verifyAudit (
  { directory, signer, checkpoints, against = [], trailIds = new Set(), index, files = systemFiles }: VerifyOptions
): Promise<VerifyReport> {
  const report = emptyReport()
  const witnesses: Witness[] = [
    ...checkpoints.map((checkpoint) => ({ checkpoint, from: 'the store' as const })),
    ...against.map((checkpoint) => ({ checkpoint, from: '--against' as const }))
  ]
  const ofProcess = Map.groupBy(witnesses, ({ checkpoint }) => checkpoint.processId)
  // Before the directory is read: who ends meanwhile has written all of its log.
  const live = await lockedLogs(files, directory)
  const present = new Set((await listProcesses(files, directory)).map(({ processId }) => processId))
  const trailId = await readTrailId(files, directory)
  const lost = checkpoints.filter(({ processId }) => !present.has(processId))
  verifyTrails({ report, trailId, trailIds, lost })
  // Logs that went with their trail are accepted with it.
  const gone = new Map(lost.filter((checkpoint) => checkpoint.trailId !== trailId)
    .map((checkpoint) => [checkpoint.processId, checkpoint.trailId]))
  const trailOf = (processId: string): string => gone.get(processId) || processId
  const extents = new Map<string, LogExtent>()
  const accepted: Accepted[] = []
  for (const processId of new Set([...ofProcess.keys(), ...present])) {
    const part = emptyReport()
    const found: Accepted[] = []
    await index?.begin(processId)
    const extent = await verifyLog({
      files,
      directory,
      signer,
      report: part,
      processId,
      witnesses: ofProcess.get(processId) ?? [],
      isLive: live.has(processId),
      onEvent (event) {
        index?.add(event)
        const acceptance = acceptanceOf(event)
        if (acceptance !== null) found.push({ acceptance, processId, seq: event.seq })
      }
    })
    report.processes++
    report.sinceMs = earliest(report.sinceMs, extent.sinceMs)
    extents.set(processId, extent)
    markWitnessed(part, against.filter((checkpoint) => checkpoint.processId === processId))
    include(report, part, trailOf(processId))
    accepted.push(...found.filter((one) => isBelieved(report, one, { holds: part.findings.length === 0, extent })))
  }
  await index?.compare(report, extents, trailOf)
  await settleAccepted(report, accepted.map(({ acceptance }) => acceptance), (trail) =>
    digestFiles(files, directory, trail)
  )
  return concluded(report)
}

/** What cannot be placed behind the last of these checkpoints may be within what they sealed. */
function markWitnessed ({ findings }: VerifyReport, against: readonly Checkpoint[]): void {
  if (against.length === 0) return
  const sealedSeq = against.reduce((highest, { seq }) => Math.max(highest, seq), -1)
  for (const finding of findings) {
    const isBehind = finding.file !== '--against' && finding.seq !== null && finding.seq > sealedSeq
    if (!isBehind) finding.isWitnessed = true
  }
}

/** An acceptance, and where in the trail it stands. */
interface Accepted { acceptance: Acceptance, processId: string, seq: number }

/** Only behind a seal, in a log that holds: anybody who can write the file could have put it elsewhere. */
function isBelieved (
  report: VerifyReport,
  { acceptance: { trail }, processId, seq }: Accepted,
  { holds, extent }: { holds: boolean, extent: LogExtent }
): boolean {
  if (holds && seq <= extent.sealedSeq) return true
  const why = holds ? 'it is not sealed yet' : `${processId}, which holds it, does not hold itself`
  note(report, { file: processId, seq, trail }, `an acceptance of ${trail} does not count: ${why}`)
  return false
}

function earliest (a: number | null, b: number | null): number | null {
  return a === null || b === null ? a ?? b : Math.min(a, b)
}

function concluded (report: VerifyReport): VerifyReport {
  report.ok = report.findings.length === 0
  return report
}

/** The name of the directory's trail is not signed: the store says whether it is the right one, and the only one. */
function verifyTrails (
  { report, trailId, trailIds, lost }: {
    report: VerifyReport,
    trailId: string | null,
    trailIds: ReadonlySet<string>,
    lost: StoredCheckpoint[]
  }
): void {
  if (trailIds.size === 0) return
  const findTrail = (message: string, trail: string | null = null): void =>
    find(report, { file: TRAIL_ID_FILE, trail }, message)
  if (trailId === null) {
    findTrail(`the file is missing or damaged; the store knows ${[...trailIds].join(', ')} of this directory`)
  } else if (!trailIds.has(trailId)) {
    findTrail(`the store does not know the trail ${trailId}: it knows ${[...trailIds].join(', ')} of this directory`)
  }
  for (const id of trailIds) {
    if (id === trailId) continue
    const logs = lost.filter((checkpoint) => checkpoint.trailId === id).length
    if (logs === 0) {
      findTrail(`the trail ${id} was begun in this directory, which now names another: ` +
        'the file was changed or removed', id)
    } else {
      findTrail(`the trail ${id}, of which the store knows ${logs} logs that are not here, was begun in this ` +
        'directory: its files were removed, or the store was restored without them', id)
    }
  }
}
