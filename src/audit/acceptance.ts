import { createHash } from 'node:crypto'
import type { FileLayer } from '../journal/files.ts'
import { listProcesses, segmentName } from '../journal/segments.ts'
import type { WrittenEvent } from '../journal/shapes.ts'
import type { Json } from '../std/json.ts'
import { sealsName } from './checkpoints.ts'
import type { AuditInput } from './shapes.ts'
import { note } from './verify-report.ts'
import type { Finding, VerifyReport } from './verify-report.ts'

/**
 * Acceptances: somebody looked at a log that does not hold, knows why, and lets it stand as it is. That is an event of
 * the trail, `audit.accepted`, which says what was accepted: the files byte by byte, and each finding. Whatever is done
 * to that log later is a finding again.
 *
 * Nothing but the trail says so: verification believes an acceptance that stands in a log that holds, behind a seal.
 * And nothing in the trail speaks against a witness from elsewhere: what a checkpoint sealed that somebody kept and
 * shows (`--against`) is there or is missing, whatever was accepted since.
 */
export interface Acceptance {
  /** The log, or the trail that is gone. */
  trail: string
  because: string
  /** Digest of the log's files, null when none was there. */
  files: string | null
  /** How many findings there were, and the marks of the first ones, one behind the other. */
  findings: number
  marks: string
  /** Digest of the marks of all. */
  all: string
  /** The first findings, in words. */
  examples: string[]
}

export const ACCEPTED = 'audit.accepted'
/** Characters of a reason. */
export const BECAUSE_MAX = 500
/** All in all below the 4 KiB that the details of an event may have. */
const MARKS_MAX = 100
const MARK_LENGTH = 16
const EXAMPLES_MAX = 3
const EXAMPLE_LENGTH_MAX = 160

/** A log by the process that wrote it, or a trail by its id. */
export function isTrailName (text: string): boolean {
  return /^[0-9a-z]{1,32}$/.test(text)
}

/** What is accepted with these findings of one trail. `files`: its digest, taken before they were found. */
export function accept (
  { trail, because, files }: Pick<Acceptance, 'trail' | 'because' | 'files'>,
  findings: readonly Finding[]
): Acceptance {
  const marks = findings.map(markOf)
  return {
    trail,
    because,
    files,
    findings: findings.length,
    marks: marks.slice(0, MARKS_MAX).join(''),
    all: digestOf(marks),
    examples: findings.slice(0, EXAMPLES_MAX)
      .map(({ file, message }) => `${file}: ${message}`.slice(0, EXAMPLE_LENGTH_MAX))
  }
}

export function eventOf ({ trail, ...details }: Acceptance, origin: string): AuditInput {
  return {
    category: 'security',
    type: ACCEPTED,
    actor: 'system',
    target: trail,
    outcome: 'ok',
    details: { origin, ...details } as unknown as NonNullable<AuditInput['details']>
  }
}

/** The acceptance that an event stands for, or null. */
export function acceptanceOf (event: Pick<WrittenEvent, 'type' | 'outcome' | 'target' | 'details'>): Acceptance | null {
  if (event.type !== ACCEPTED || event.outcome !== 'ok') return null
  return readAcceptance({ ...event.details, trail: event.target })
}

function readAcceptance (given: { [name in keyof Acceptance]?: unknown }): Acceptance | null {
  const { trail, because, files = null, findings, marks, all, examples } = given ?? {}
  if (typeof trail !== 'string' || !isTrailName(trail)) return null
  if (typeof because !== 'string' || because === '' || because.length > BECAUSE_MAX) return null
  if (files !== null && !isDigest(files)) return null
  if (!isDigest(all) || !Number.isSafeInteger(findings)) return null
  if (typeof marks !== 'string' || !/^[0-9a-f]*$/.test(marks) || marks.length > MARKS_MAX * MARK_LENGTH) return null
  const shown = Array.isArray(examples) ? examples.map(String).slice(0, EXAMPLES_MAX) : []
  return {
    trail,
    because,
    files: files as string | null,
    findings: findings as number,
    marks,
    all: all as string,
    examples: shown.map((text) => text.slice(0, EXAMPLE_LENGTH_MAX))
  }
}

function isDigest (value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}

/** Of the files of a log as they stand, null where there is none. One segment at a time is held. */
export async function digestFiles (files: FileLayer, directory: string, processId: string): Promise<string | null> {
  const log = (await listProcesses(files, directory)).find((process) => process.processId === processId)
  if (log === undefined) return null
  const present = new Set(await files.list(directory))
  const parts: string[] = []
  for (const name of [sealsName(processId), ...log.segments.map((segment) => segmentName(processId, segment))]) {
    if (!present.has(name)) continue
    parts.push(`${name} ${await digestFile(files, `${directory}/${name}`)}`)
  }
  return digestOf(parts)
}

async function digestFile (files: FileLayer, path: string): Promise<string> {
  try {
    const bytes = await files.read(path)
    return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    return code
  }
}

function markOf ({ file, line, seq, message, rows }: Finding): string {
  return digestOf([file, line, seq, message, rows ?? null]).slice(0, MARK_LENGTH)
}

function digestOf (value: Json): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}

/** Moves findings that were accepted aside. `believed`: sealed, in logs that hold. */
export async function settleAccepted (
  report: VerifyReport,
  believed: readonly Acceptance[],
  digest: (trail: string) => Promise<string | null>
): Promise<void> {
  const ofTrail = Map.groupBy(believed, ({ trail }) => trail)
  const open = Map.groupBy(report.findings, ({ trail }) => trail)
  for (const [trail, acceptances] of ofTrail) {
    const findings = open.get(trail)
    if (findings === undefined) continue
    const files = await digest(trail)
    const standing = acceptances.filter((acceptance) => acceptance.files === files)
    if (standing.length === 0) {
      note(report, { file: findings[0]!.file, trail }, `${trail} was accepted as it was, and has changed since`)
      continue
    }
    const settled = new Set(findings.filter((finding) =>
      finding.isWitnessed !== true && standing.some((one) => covers(one, finding, findings))))
    if (settled.size === 0) continue
    report.findings = report.findings.filter((finding) => !settled.has(finding))
    note(report, { file: findings[0]!.file, trail }, `${trail} is accepted as it is: ${standing.at(-1)!.because}`)
    report.accepted.push(...settled)
  }
}

/** Each finding counts by itself, as a store that is away hides some; of very many only all together. */
function covers ({ marks, all, findings }: Acceptance, finding: Finding, present: readonly Finding[]): boolean {
  if (findings > MARKS_MAX) return digestOf(present.map(markOf)) === all
  const mark = markOf(finding)
  for (let at = 0; at < marks.length; at += MARK_LENGTH) if (marks.slice(at, at + MARK_LENGTH) === mark) return true
  return false
}
