import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import type { Test } from 'tap'
import { COVERAGE_DIR, checkCoverage, clearCoverage } from './runner/coverage.ts'
import { endJobs, nameOf, runJobs, type Outcome } from './runner/run-jobs.ts'
import { coveredFiles, foreignJobs, listJobs, mongoJobs, nightlyJobs, TIERS, zoneJobs, type Job } from './runner/tiers.ts'
import { startMongo } from './services/mongo.ts'

/**
 * `npm test`: says which services this machine lacks, runs every test in its tier (test/runner/tiers.ts), prints one line
 * for each file with how many are left, and closes with `N passed, N failed`. A failure is a failure: nothing is run twice.
 *
 * `npm test -- <name>...` runs the files whose path holds one of the names; `--tier=unit` (or system, timing, foreign) a tier.
 * `--coverage` also fails below 95 % of the lines of src/; `--zones` runs what reads dates in two far time zones as well;
 * `--nightly` runs the long rows. With REQUIRE_SERVICES=1 a lacking service is a failure.
 */
const SERVICES: Array<{ name: string, command: string, args: string[], for: string }> = [
  { name: 'redis-server', command: 'redis-server', args: ['--version'], for: 'fleets of several hosts' },
  { name: 'go', command: 'go', args: ['version'], for: 'the MongoDB-protocol server (or MONGODB_TEST_URL)' },
  { name: 'nginx', command: 'nginx', args: ['-v'], for: 'what a proxy in front makes of requests' },
  { name: 'slowhttptest', command: 'slowhttptest', args: ['-h'], for: 'slow clients' }
]
const HEADLINE_COLUMNS = 88

const OPTIONS = ['--coverage', '--zones', '--nightly', ...TIERS.map((tier) => `--tier=${tier}`)]

const options = new Set(process.argv.slice(2).filter((argument) => argument.startsWith('-')))
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('-')).map((name) => name.replace(/^\.\//, ''))
const unknown = [...options].filter((option) => !OPTIONS.includes(option))
const tiers = TIERS.filter((tier) => options.has(`--tier=${tier}`))
const lacking = SERVICES.filter(({ command, args }) => spawnSync(command, args, { stdio: 'ignore' }).error !== undefined)
let failed = 0

for (const service of lacking) console.log(`lacking: ${service.name}, needed for ${service.for}; its tests are skipped`)
if (lacking.length > 0 && process.env.REQUIRE_SERVICES === '1') {
  console.log('REQUIRE_SERVICES=1: a lacking service is a failure')
  failed++
}
if (options.has('--coverage')) clearCoverage()

const toCover = coveredFiles()
const teardowns: Array<() => unknown> = []
for (const [signal, number] of [['SIGINT', 2], ['SIGTERM', 15], ['SIGHUP', 1]] as const) process.once(signal, () => { interrupted(128 + number) })
const chosen = await chooseJobs()
const unmatched = names.filter((name) => !chosen.some(({ file }) => file.includes(name)))
// A run that is asked for in part is no run: what is left out would look green.
const isRefused = unknown.length > 0 || unmatched.length > 0 || chosen.length === 0
if (isRefused) {
  failed++
  if (unknown.length > 0) console.log(`unknown option: ${unknown.join(' ')} (there are ${OPTIONS.join(' ')})`)
  else console.log(`no test file matches: ${[...unmatched, ...tiers].join(' ')}`)
}
const jobs = isRefused ? [] : chosen
const outcomes = await runJobs(options.has('--coverage') ? jobs.map(covered) : jobs, show)
for (const teardown of teardowns) await teardown()
if (options.has('--coverage') && !isRefused && !await checkCoverage()) failed++
close()

async function chooseJobs (): Promise<Job[]> {
  if (options.has('--nightly')) return nightlyJobs().filter(isNamed)
  const isWanted = ({ tier }: Job): boolean => tiers.length === 0 || tiers.includes(tier)
  const foreign = names.length > 0 || tiers.includes('foreign') ? foreignJobs() : []
  const here = [...listJobs(), ...foreign, ...(options.has('--zones') ? zoneJobs() : [])].filter((job) => isWanted(job) && isNamed(job))
  // Files that are named are run on the store that the environment says.
  const elsewhere = names.length === 0 && (tiers.length === 0 || tiers.includes('system')) ? await jobsOnMongo() : []
  return [...here, ...elsewhere].sort((a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier))
}

async function interrupted (code: number): Promise<void> {
  endJobs()
  for (const teardown of teardowns) await teardown()
  process.exit(code)
}

/** On another store or in another zone the same lines run. */
function covered (job: Job): Job {
  return !toCover.has(job.file) || job.variant !== undefined ? job : { ...job, env: { ...job.env, NODE_V8_COVERAGE: resolve(COVERAGE_DIR) } }
}

function isNamed ({ file }: Job): boolean {
  return names.length === 0 || names.some((name) => file.includes(name))
}

/** The rooms' tests once more, all on one server of MongoDB's protocol, each in a database of its own. */
async function jobsOnMongo (): Promise<Job[]> {
  const harness = { teardown: (handler: () => unknown) => teardowns.push(handler), fail: (message: string) => console.log(message), comment: (message: string) => console.log(message) }
  const server = await startMongo(harness as unknown as Test)
  return server === null ? [] : mongoJobs(server.uri)
}

function show ({ job, tally, seconds }: Outcome, left: number): void {
  const counts = [`${tally.passed} passed`, ...(tally.failed > 0 ? [`${tally.failed} failed`] : []), ...(tally.skipped.length > 0 ? [`${tally.skipped.length} skipped`] : [])].join(', ')
  console.log(`${(tally.failed > 0 ? 'FAILED ' : 'ok ') + `${job.tier.padEnd(6)} ${nameOf(job)}`.padEnd(HEADLINE_COLUMNS)} ${counts}, ${seconds.toFixed(1)} s, ${left} left`)
  for (const figure of tally.figures) console.log(`   ${figure}`)
  for (const title of tally.skipped) console.log(`   skipped: ${title}`)
  for (const line of tally.failures) console.log(`   ${line}`)
}

/** What each tier took, what failed, and the last line. */
function close (): void {
  for (const tier of TIERS) {
    const of = outcomes.filter(({ job }) => job.tier === tier)
    if (of.length > 0) console.log(`${tier}: ${of.length} files, ${sum(of.map(({ seconds }) => seconds)).toFixed(0)} s one by one`)
  }
  for (const { job, tally } of outcomes) if (tally.failed > 0) console.log(`FAILED ${nameOf(job)}`)
  const passed = sum(outcomes.map(({ tally }) => tally.passed))
  const skipped = sum(outcomes.map(({ tally }) => tally.skipped.length))
  failed += sum(outcomes.map(({ tally }) => tally.failed))
  if (failed > 0) process.exitCode = 1
  console.log(skipped > 0 ? `${passed} passed, ${failed} failed, ${skipped} skipped` : `${passed} passed, ${failed} failed`)
}

function sum (numbers: number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}
