/** What one file's TAP says: counts of its tests (not of assertions), what failed with its diagnostics, what was skipped. */
export interface Tally {
  passed: number
  failed: number
  /** Titles, with the reason. */
  skipped: string[]
  /** Lines to show: failures with their diagnostics. */
  failures: string[]
  /** Comments that hold a figure beside its bar. */
  figures: string[]
}

const RESULT = /^( *)(not ok|ok) \d+(?: - (.*))?$/
const SKIP = / # skip\b/i
const FIGURE = /^ *# .*, bar /

/** Tests are the results of the outermost level. */
export function readTap (text: string): Tally {
  const tally: Tally = { passed: 0, failed: 0, skipped: [], failures: [], figures: [] }
  let showing = false
  for (const line of text.split('\n')) {
    const result = RESULT.exec(line)
    if (result !== null) {
      const [, indent, verdict, title = ''] = result as unknown as [string, string, string, string | undefined]
      showing = verdict === 'not ok' && !SKIP.test(title)
      if (showing) tally.failures.push(line)
      if (indent.length > 0) continue
      if (SKIP.test(title)) tally.skipped.push(title)
      else if (verdict === 'ok') tally.passed++
      else tally.failed++
    } else if (FIGURE.test(line)) tally.figures.push(line.trim().slice(2))
    else if (/^\s*#/.test(line) || line.trim() === '') showing = false
    else if (showing) tally.failures.push(line)
  }
  return tally
}
