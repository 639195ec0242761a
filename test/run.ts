import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { createWriteStream, globSync, mkdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { startMongo } from './services/mongo.ts'

/**
 * `npm test`: says which services this machine lacks, runs every test by tap, counts, and closes with one line
 * `N passed, N failed`. With REQUIRE_SERVICES=1 a lacking service is a failure. `--coverage` also fails below 95 % of
 * the lines of src/; `--zones` runs the pure tests again in two time zones that are far from UTC; `--nightly` runs the
 * long rows. `--again`, for machines that are shared: a file that failed is run once more by itself, and counts as it
 * came out then; both are said. More than a few such files are no accident and stay failed.
 */
const AGAIN_FILES_MAX = 3
const LINES_MIN_PERCENT = 95
const ZONES = ['Pacific/Kiritimati', 'America/St_Johns']
/** Rooms whose tests run on both stores. */
const ON_BOTH_STORES = ['test/audit/trail-registry.test.ts', 'test/audit/pseudonyms.test.ts', 'test/audit/rotation.test.ts', 'test/audit/settings.test.ts', 'test/identity', 'test/intel', 'test/receipts', 'test/decisions', 'test/playbooks']
/** Tests of what is pure: no service, no socket, no store. */
const PURE = ['test/std', 'test/detect', 'test/clients', 'test/threads', 'test/intel/match.test.ts', 'test/intel/import.test.ts', 'test/intel/import-source.test.ts', 'test/decisions/standing.test.ts']

/**
 * What is held against processor time depends on neither store nor zone, and coverage would make it ten times slower: it
 * runs once, by itself.
 */
const TIMED = ['test/detect/linear', 'test/detect/raw-scan-time', 'test/receipts/redaction-cost', 'test/transports/http/turns']
  .map((name) => `${name}.test.ts`)

/** What waits more than it works, and measures nothing: two at a time, without coverage, as their servers have none. */
const SIDE_BY_SIDE = ['e2e/trail-accept', 'journal/slow-store', 'processes/cold-disk', 'processes/lost-files', 'processes/pauses', 'rows/r21', 'rows/r23']
  .map((name) => `test/${name}.test.ts`)
const untimed = (paths: readonly string[]): string[] => paths
  .flatMap((path) => path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.test.ts`).sort())
  .filter((path) => !TIMED.includes(path))

const SERVICES: Array<{ name: string, command: string, args: string[], for: string }> = [
  { name: 'redis-server', command: 'redis-server', args: ['--version'], for: 'fleets of several hosts' },
  { name: 'go', command: 'go', args: ['version'], for: 'the MongoDB-protocol server (or MONGODB_TEST_URL)' },
  { name: 'nginx', command: 'nginx', args: ['-v'], for: 'what a proxy in front makes of requests' },
  { name: 'slowhttptest', command: 'slowhttptest', args: ['-h'], for: 'slow clients (R33)' }
]

const options = new Set(process.argv.slice(2).filter((argument) => argument.startsWith('--')))
const files = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const lacking = SERVICES.filter(({ command, args }) => spawnSync(command, args, { stdio: 'ignore' }).error !== undefined)
for (const service of lacking) console.log(`lacking: ${service.name}, needed for ${service.for}; its tests are skipped`)
if (lacking.length > 0 && process.env.REQUIRE_SERVICES === '1') {
  console.log('REQUIRE_SERVICES=1: a lacking service is a failure')
  process.exitCode = 1
}

let passed = 0
let failed = 0
let skipped = 0

if (options.has('--nightly')) await runTap([], { coverage: false, extra: ['--include=test/nightly/**/*.ts', '--timeout=1200'] })
else {
  if (files.length > 0) await runTap(files, { coverage: options.has('--coverage') })
  else {
    await runTap([], { coverage: options.has('--coverage'), extra: [...TIMED, ...SIDE_BY_SIDE].map((path) => `--exclude=${path}`) })
    await runTap(TIMED, { coverage: false })
    await runTap(SIDE_BY_SIDE, { coverage: false, extra: ['--jobs=2'] })
    await runOnMongo()
  }
  if (options.has('--zones')) for (const zone of ZONES) await runTap(untimed(PURE), { coverage: false, zone })
}
if (options.has('--coverage')) checkCoverage()
if (failed > 0) process.exitCode = 1
console.log(skipped > 0 ? `${passed} passed, ${failed} failed, ${skipped} skipped` : `${passed} passed, ${failed} failed`)

/** The rooms' tests once more on a server of MongoDB's protocol. */
async function runOnMongo (): Promise<void> {
  const teardowns: Array<() => unknown> = []
  const harness = { teardown: (handler: () => unknown) => teardowns.push(handler), fail: (message: string) => console.log(message), comment: (message: string) => console.log(message) }
  const server = await startMongo(harness as unknown as Test)
  if (server !== null) {
    console.log("the rooms' tests on a server of MongoDB's protocol")
    await runTap(untimed(ON_BOTH_STORES), { coverage: false, environment: { NEKO_TEST_STORE: 'mongodb', MONGODB_TEST_URL: server.uri } })
  }
  for (const teardown of teardowns) await teardown()
}

interface TapOptions { coverage: boolean, zone?: string, extra?: string[], environment?: Record<string, string> }
interface Tally { passed: number, failed: number, skipped: number }

/** Runs tap, and with `--again` once more what failed; counts tests (not assertions). */
async function runTap (paths: string[], tapOptions: TapOptions): Promise<void> {
  const tallies = await tapOnce(paths, tapOptions)
  const broken = [...tallies].filter(([, tally]) => tally.failed > 0).map(([file]) => file)
  if (options.has('--again') && broken.length > 0 && broken.length <= AGAIN_FILES_MAX) {
    console.log(`once more, by themselves: ${broken.join(' ')}`)
    for (const [file, tally] of await tapOnce(broken, { ...tapOptions, coverage: false })) {
      tallies.set(file, tally)
      if (tally.failed === 0) console.log(`failed once, passed the second time: ${file}`)
    }
  }
  for (const tally of tallies.values()) {
    passed += tally.passed
    failed += tally.failed
    skipped += tally.skipped
  }
}

/** Shows what failed and what was skipped. The counts of each file. */
async function tapOnce (paths: string[], { coverage, zone, extra = [], environment = {} }: TapOptions): Promise<Map<string, Tally>> {
  const args = ['--reporter=tap', ...(coverage ? ['--coverage-report=json-summary'] : ['--disable-coverage']), ...extra, ...paths]
  if (zone !== undefined) console.log(`the pure tests in ${zone}`)
  mkdirSync('.tap', { recursive: true })
  const record = createWriteStream('.tap/output.tap', { flags: 'a' })
  const child = spawn(process.execPath, ['node_modules/tap/dist/esm/run.mjs', ...args], { env: { ...process.env, ...environment, ...(zone === undefined ? {} : { TZ: zone }) }, stdio: ['ignore', 'pipe', 'inherit'] })
  const tallies = new Map<string, Tally>()
  const tallyOf = (file: string): Tally => {
    const tally = tallies.get(file) ?? { passed: 0, failed: 0, skipped: 0 }
    tallies.set(file, tally)
    return tally
  }
  let file = ''
  let showing = false
  for await (const line of createInterface({ input: child.stdout })) {
    record.write(line + '\n')
    const started = /^# Subtest: (.*)/.exec(line)
    if (started !== null) file = started[1] as string
    const result = /^( *)(not ok|ok) \d+ - (.*)/.exec(line)
    if (result !== null) {
      const [, indent, verdict, title] = result as unknown as [string, string, string, string]
      showing = verdict === 'not ok'
      if (indent.length === 4) count(tallyOf(file), verdict, title)
      // A file that dies before its first test counts as one failure.
      else if (indent.length === 0 && showing && tallyOf(file).failed === 0) tallyOf(file).failed++
      if (showing) console.log(indent.length === 0 ? line : `${file}: ${line}`)
      else if (indent.length === 4 && / # (SKIP|skip)/.test(title)) console.log(`skipped: ${file}: ${title}`)
      else if (indent.length === 0) console.log(line.replace(/ \{$/, ''))
    } else if (showing && /^ {2,}/.test(line)) console.log(line)
  }
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? 1)))
  record.end()
  if (code !== 0 && [...tallies.values()].every((tally) => tally.failed === 0)) tallyOf('tap').failed++
  return tallies
}

function count (tally: Tally, verdict: string, title: string): void {
  if (/ # (SKIP|skip)/.test(title)) tally.skipped++
  else if (verdict === 'ok') tally.passed++
  else tally.failed++
}

/** tap knows no floor but 100 %: thread entries and what only a dying process runs are not seen by coverage. */
function checkCoverage (): void {
  const summary = JSON.parse(readFileSync('.tap/report/coverage-summary.json', 'utf8')) as Record<string, { lines: { total: number, covered: number, pct: number } }>
  let total = 0
  let covered = 0
  for (const [path, { lines }] of Object.entries(summary)) {
    if (!path.includes('/src/')) continue
    total += lines.total
    covered += lines.covered
    if (lines.pct < 80) console.log(`coverage ${lines.pct} % of ${path.slice(path.indexOf('/src/') + 1)}`)
  }
  const percent = Math.round(covered / total * 10_000) / 100
  console.log(`coverage of src/: ${percent} % of ${total} lines`)
  if (percent < LINES_MIN_PERCENT) {
    failed++
    console.log(`coverage is below ${LINES_MIN_PERCENT} %`)
  }
}
