/** What one file's TAP says: counts of its tests (not of assertions), what failed with its diagnostics, what was left out. */
export interface Tally {
  passed: number
  failed: number
  /** Titles of tests that were left out, whole or in part, with the reason. */
  skipped: string[]
  /** Lines to show: failures with their diagnostics. */
  failures: string[]
  /** Comments that hold a figure beside its bar. */
  figures: string[]
  /** Why this is not the whole output of a file that ran to its end; null when it is. */
  problem: string | null
}

const RESULT = /^( *)(not ok|ok) (\d+)(?: - (.*))?$/
const PLAN = /^1\.\.(\d+)(?: # (.*))?$/
const DIAGNOSTICS = /^( *)---$/
const LEFT_OUT = / # (?:skip|todo)\b.*/i
/** A test that says so itself, and ends. */
const SKIP_COMMENT = /^ *# # SKIP (.*)$/
const FIGURE = /^ *# .*, bar /

/** Tests are the results of the outermost level; one of which a part is left out counts as left out. */
export function readTap (text: string): Tally {
  const tally: Tally = { passed: 0, failed: 0, skipped: [], failures: [], figures: [], problem: null }
  let planned: number | null = null
  let seen = 0
  let isShowing = false
  /** The line that ends the diagnostics that are being read. */
  let end: string | null = null
  let leftOut: string | null = null
  for (const line of text.split('\n')) {
    if (end !== null) {
      if (isShowing) tally.failures.push(line)
      if (line === end) end = null
      continue
    }
    const result = RESULT.exec(line)
    const plan = PLAN.exec(line)
    const diagnostics = DIAGNOSTICS.exec(line)
    if (result !== null) {
      const [, indent, verdict, number, title = ''] = result as unknown as [string, string, string, string, string | undefined]
      const reason = LEFT_OUT.exec(title)?.[0] ?? null
      isShowing = verdict === 'not ok' && reason === null
      if (isShowing) tally.failures.push(line)
      if (indent.length > 0) {
        leftOut ??= reason
        continue
      }
      if (Number(number) !== ++seen) tally.problem ??= `result ${number} came where ${seen} was due`
      if (verdict === 'not ok' && reason === null) tally.failed++
      else if (reason !== null) tally.skipped.push(title)
      else if (leftOut !== null) tally.skipped.push(title + leftOut)
      else tally.passed++
      leftOut = null
    } else if (plan !== null) {
      planned = Number(plan[1])
      if (planned === 0 && plan[2] !== undefined) tally.skipped.push(plan[2])
    } else if (diagnostics !== null) {
      end = `${diagnostics[1]}...`
      if (isShowing) tally.failures.push(line)
    } else if (SKIP_COMMENT.test(line)) leftOut ??= ` # SKIP ${SKIP_COMMENT.exec(line)![1]}`
    else if (FIGURE.test(line)) tally.figures.push(line.trim().slice(2))
    else if (/^\s*#/.test(line) || line.trim() === '') isShowing = false
    else if (isShowing) tally.failures.push(line)
  }
  if (planned === null) tally.problem ??= 'it ended without a plan: not all of it ran'
  else if (planned !== seen) tally.problem ??= `${planned} tests were planned, ${seen} have a result`
  return tally
}
