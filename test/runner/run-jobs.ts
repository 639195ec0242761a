import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readTap, type Tally } from './tap-output.ts'
import { SLOTS, type Job } from './tiers.ts'

/** What a job came to. A file that died, or said less than it should have, has `failed` above 0 as well. */
export interface Outcome { job: Job, tally: Tally, seconds: number }

const GUARD = fileURLToPath(new URL('unit-guard.ts', import.meta.url))
/** Every file compiles the same modules. */
const NODE_COMPILE_CACHE = join(tmpdir(), 'node-compile-cache')
const ENDING_MS = 5_000
/** Who has ended has said all; a process that it left behind may hold the pipe for ever. */
const PIPE_MS = 1_000
/** Far more than any file says: one that goes on for ever would fill the memory of the runner. */
const OUTPUT_CHARS_MAX = 64 * 1024 * 1024
const DIED_SHOWN_CHARS = 4_000

const live = new Set<ChildProcess>()

/** Whoever ends the runner ends what it started: the files are in process groups of their own, where no Ctrl-C reaches. */
export function endJobs (): void {
  for (const child of live) endGroup(child)
}

/**
 * Runs jobs in their order, as many at once as the tier of the next one allows, each as a process of its own (a file of
 * tap's is a program). What a job started is in its process group and ends with it, unless the file itself made another
 * group. All output goes to `.tap/output.tap` as well. `onEnd` is told of each as it ends.
 */
export async function runJobs (jobs: readonly Job[], onEnd: (outcome: Outcome, left: number) => void): Promise<Outcome[]> {
  mkdirSync('.tap', { recursive: true })
  const record = createWriteStream('.tap/output.tap')
  const waiting = [...jobs]
  const outcomes: Outcome[] = []
  const running = new Set<Promise<void>>()
  while (waiting.length > 0 || running.size > 0) {
    while (waiting.length > 0 && running.size < SLOTS[waiting[0]!.tier]) {
      const job = waiting.shift() as Job
      const run = runJob(job).then(({ outcome, text }) => {
        record.write(`# ${nameOf(job)}\n${text}\n`)
        outcomes.push(outcome)
        running.delete(run)
        onEnd(outcome, waiting.length + running.size)
      })
      running.add(run)
    }
    await Promise.race(running)
  }
  await new Promise((resolve) => record.end(resolve))
  return outcomes
}

export function nameOf ({ file, variant }: Job): string {
  return variant === undefined ? file : `${file} (${variant})`
}

async function runJob (job: Job): Promise<{ outcome: Outcome, text: string }> {
  const startMs = performance.now()
  const child = spawn(process.execPath, [...(isGuarded(job) ? [`--import=${GUARD}`] : []), job.file], { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: environmentOf(job) })
  live.add(child)
  const texts = { stdout: '', stderr: '' }
  /** Why the runner ended it. */
  let ended: string | null = null
  const end = (why: string): void => {
    ended ??= why
    endGroup(child)
  }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      if (texts[name].length > OUTPUT_CHARS_MAX) end(`with more than ${OUTPUT_CHARS_MAX} characters of output`)
      else texts[name] += chunk
    })
  }
  const timer = setTimeout(() => end(`after ${job.timeoutMs / 1000} s`), job.timeoutMs + ENDING_MS)
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const exit = await new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(String(code ?? signal)))
    child.once('error', (error) => resolve(error.message))
  })
  clearTimeout(timer)
  // Whatever the file left behind would measure, kill and hold ports beside the next one.
  endGroup(child)
  live.delete(child)
  const isClosed = await Promise.race([closed.then(() => true), new Promise<false>((resolve) => setTimeout(resolve, PIPE_MS, false))])
  for (const stream of [child.stdout, child.stderr]) stream.destroy()
  const tally = readTap(texts.stdout)
  const problem = ended !== null ? `it was ended ${ended}` : !isClosed ? 'a process that it left behind holds its output' : tally.problem
  judge(tally, problem, exit, texts)
  return { outcome: { job, tally, seconds: (performance.now() - startMs) / 1000 }, text: texts.stdout + texts.stderr }
}

/** A file on MongoDB speaks to a server. */
function isGuarded (job: Job): boolean {
  return job.tier === 'unit' && (process.env.MONGODB_TEST_URL ?? '') === ''
}

/** Tap would be told by its own variables to leave tests out, and by another run's where to leave coverage. */
function environmentOf (job: Job): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(?:TAP|NODE_V8_COVERAGE$)/.test(name))
  return { ...Object.fromEntries(own), NODE_COMPILE_CACHE, TAP_TIMEOUT: String(job.timeoutMs / 1000), ...job.env }
}

/** A file that says that all is well and did not end so has failed; what it said last may tell why any file failed. */
function judge (tally: Tally, problem: string | null, exit: string, { stdout, stderr }: { stdout: string, stderr: string }): void {
  const ran = tally.passed + tally.failed + tally.skipped.length
  const isWhole = problem === null && ran > 0 && exit === (tally.failed > 0 ? '1' : '0')
  if (isWhole && tally.failed === 0) return
  if (!isWhole) {
    tally.failed++
    tally.failures.push(`the file ended with ${exit}${problem !== null ? `: ${problem}` : ran === 0 ? ': it ran no test' : ''}`)
  }
  const last = (isWhole ? stderr : stdout + stderr).trimEnd().slice(-DIED_SHOWN_CHARS)
  if (last !== '') tally.failures.push(...last.split('\n'))
}

function endGroup ({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody of the group is left.
  }
}
