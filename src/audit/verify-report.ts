/** What verification found: each finding located, and what is worth a note but no failure. */
interface Finding {
  file: string
  /** From 1; null when it is about the file as a whole. */
  line: number | null
  /** The event's place in the chain, where one can be told. */
  seq: number | null
  message: string
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
}

/** Findings kept, so that a file of garbage does not fill memory; the first ones locate it. */
const FINDINGS_MAX = 1_000

export function emptyReport (): VerifyReport {
  const counts = { processes: 0, segments: 0, events: 0, unsealed: 0, checkpoints: 0, indexed: 0 }
  return { ok: true, ...counts, sinceMs: null, findings: [], notes: [] }
}

/** Where something is; what cannot be told is left out. */
interface Place { file: string, line?: number | null, seq?: number | null }

export function find (report: VerifyReport, place: Place, message: string): void {
  add(report.findings, place, message)
}

export function note (report: VerifyReport, place: Place, message: string): void {
  add(report.notes, place, message)
}

function add (findings: Finding[], { file, line = null, seq = null }: Place, message: string): void {
  if (findings.length < FINDINGS_MAX) findings.push({ file, line, seq, message })
}
