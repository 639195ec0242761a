/** What verification found: each finding located, and what is worth a note but no failure. */
export interface Finding {
  file: string
  /** From 1; null when it is about the file as a whole. */
  line: number | null
  /** The event's place in the chain, where one can be told. */
  seq: number | null
  message: string
  /** The log, or the trail that is gone, that a person may accept as it is; null where something is to be mended. */
  trail: string | null
  /** Digest of the rows of the store's index that it is about. */
  rows?: string
  /** It lies within what a checkpoint sealed that was kept elsewhere: nobody here can accept it. */
  isWitnessed?: true
}

export interface VerifyReport {
  /** True when every sealed record holds: `neko audit verify` exits 0, else 1. */
  ok: boolean
  processes: number
  segments: number
  events: number
  /** Events behind the last checkpoint of their process: chained, but not yet signed for. */
  unsealed: number
  checkpoints: number
  /** Events of the store's index that are as the log holds them. */
  indexed: number
  /** When the first log here was begun, ms; null without one. */
  sinceMs: number | null
  findings: Finding[]
  notes: Finding[]
  /** Findings that a person lets stand (acceptance.ts): they are no failure, and whoever reads `ok` can tell. */
  accepted: Finding[]
}

/**
 * Findings kept, so that a file of garbage does not fill memory; the first ones locate it. Of each log one is kept in
 * any case, and one that nobody may accept: none must be missed when others are accepted.
 */
const FINDINGS_MAX = 1_000

export function emptyReport (): VerifyReport {
  const counts = { processes: 0, segments: 0, events: 0, unsealed: 0, checkpoints: 0, indexed: 0 }
  return { ok: true, ...counts, sinceMs: null, findings: [], notes: [], accepted: [] }
}

/** Where something is; what cannot be told is left out. */
interface Place extends Partial<Omit<Finding, 'file' | 'message'>> { file: string }

export function find (report: VerifyReport, place: Place, message: string): void {
  add(report.findings, place, message)
}

export function note (report: VerifyReport, place: Place, message: string): void {
  add(report.notes, place, message)
}

/** Takes over what was found about one log. */
export function include (report: VerifyReport, part: VerifyReport, trail: string): void {
  for (const count of ['segments', 'events', 'unsealed', 'checkpoints'] as const) report[count] += part[count]
  for (const { message, ...place } of part.findings) find(report, { ...place, trail }, message)
  for (const { message, ...place } of part.notes) note(report, { ...place, trail }, message)
}

function add (
  findings: Finding[],
  { file, line = null, seq = null, trail = null, rows, isWitnessed }: Place,
  message: string
): void {
  const isLike = (known: Finding): boolean => known.trail === trail && known.isWitnessed === isWitnessed
  if (findings.length >= FINDINGS_MAX && findings.some(isLike)) return
  findings.push({
    file,
    line,
    seq,
    message,
    trail,
    ...rows === undefined ? {} : { rows },
    ...isWitnessed === undefined ? {} : { isWitnessed }
  })
}
