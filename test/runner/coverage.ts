import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { Report } from 'c8'

/** Where the processes of tests leave what they ran, servers and their workers included. */
export const COVERAGE_DIR = 'coverage/raw'
const LINES_MIN_PERCENT = 95
const FILE_SHOWN_PERCENT = 80

export function clearCoverage (): void {
  rmSync('coverage', { recursive: true, force: true })
  mkdirSync(COVERAGE_DIR, { recursive: true })
}

/** Prints the share of the lines of src/ that ran, files that nobody loaded included, and those with little of it. False below 95 %. */
export async function checkCoverage (): Promise<boolean> {
  await new Report({ tempDirectory: COVERAGE_DIR, reportsDirectory: 'coverage', reporter: ['json-summary'], all: true, src: [process.cwd()], include: ['src/**'], excludeAfterRemap: false, mergeAsync: true } as unknown as ConstructorParameters<typeof Report>[0]).run()
  const summary = JSON.parse(readFileSync('coverage/coverage-summary.json', 'utf8')) as Record<string, { lines: { total: number, covered: number, pct: number } }>
  for (const [path, { lines }] of Object.entries(summary)) {
    if (path !== 'total' && lines.pct < FILE_SHOWN_PERCENT) console.log(`coverage ${lines.pct} % of ${path.slice(path.indexOf('/src/') + 1)}`)
  }
  const { pct, total } = summary.total!.lines
  console.log(`coverage of src/: ${pct} % of ${total} lines`)
  if (pct >= LINES_MIN_PERCENT) return true
  console.log(`coverage is below ${LINES_MIN_PERCENT} %`)
  return false
}
