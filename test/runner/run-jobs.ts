import { spawn } from 'node:child_process'
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
const DIED_SHOWN_CHARS = 4_000

/**
 * Runs jobs in their order, as many at once as the tier of the next one allows, each as a process of its own (a file of
 * tap's is a program). Whatever a job started is in its process group and ends with it. All output goes to
 * `.tap/output.tap` as well. `onEnd` is told of each as it ends.
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
  const isGuarded = job.tier === 'unit' && (job.env?.MONGODB_TEST_URL ?? process.env.MONGODB_TEST_URL) === undefined
  const env = { ...process.env, NODE_COMPILE_CACHE, TAP_TIMEOUT: String(job.timeoutMs / 1000), ...job.env }
  const child = spawn(process.execPath, [...(isGuarded ? [`--import=${GUARD}`] : []), job.file], { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env })
  let text = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { errors += chunk })
  const timer = setTimeout(() => endGroup(child.pid), job.timeoutMs + ENDING_MS)
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  clearTimeout(timer)
  // Whatever the file left behind would measure, kill and hold ports beside the next one.
  endGroup(child.pid)
  const tally = readTap(text)
  if (code !== 0 && tally.failed === 0) died(tally, code, text + errors)
  else if (code === 0 && tally.passed + tally.skipped.length === 0) died(tally, code, 'it ran no test')
  return { outcome: { job, tally, seconds: (performance.now() - startMs) / 1000 }, text: text + errors }
}

function died (tally: Tally, code: number | null, text: string): void {
  tally.failed++
  tally.failures.push(`the file ended with ${code ?? 'a signal'}:`, text.slice(-DIED_SHOWN_CHARS))
}

function endGroup (pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody of the group is left.
  }
}
