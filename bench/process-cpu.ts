import { readdirSync, readFileSync } from 'node:fs'

/**
 * How much processor time did a process take between two moments, threads included, and how much of it its main thread?
 *
 * The kernel's `schedstat` of each thread counts nanoseconds; `stat`, in ticks of 10 ms, stands in where the kernel keeps
 * none, and where a thread ended in between and took its figure with it. Linux only.
 */
export interface CpuReading {
  /** Nanoseconds by thread id; empty without schedstat. */
  threads: ReadonlyMap<number, number>
  mainThread: number
  /** Of the whole process, ended threads included, in steps of TICK_NS. */
  tickNs: number
}

export interface CpuUse { processUs: number, mainUs: number }

const TICK_NS = 10_000_000

/** @throws ENOENT when the process is gone. */
export function readCpu (pid: number): CpuReading {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  const threads = new Map<number, number>()
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const ns = runNs(`/proc/${pid}/task/${task}/schedstat`)
    if (ns !== null) threads.set(Number(task), ns)
  }
  return { threads, mainThread: pid, tickNs: (Number(fields[11]) + Number(fields[12])) * TICK_NS }
}

export function cpuBetween (before: CpuReading, after: CpuReading): CpuUse {
  const since = (thread: number): number => (after.threads.get(thread) ?? 0) - (before.threads.get(thread) ?? 0)
  const ticks = (after.tickNs - before.tickNs) / 1000
  if (after.threads.size === 0) return { processUs: ticks, mainUs: NaN }
  const mainUs = since(after.mainThread) / 1000
  const isWhole = [...before.threads.keys()].every((thread) => after.threads.has(thread))
  if (!isWhole) return { processUs: ticks, mainUs }
  return { processUs: [...after.threads.keys()].reduce((sum, thread) => sum + since(thread), 0) / 1000, mainUs }
}

/** The first field: time on a processor. */
function runNs (file: string): number | null {
  try {
    return Number(readFileSync(file, 'utf8').split(' ', 1)[0])
  } catch {
    // The thread has just ended, or this kernel keeps no such figure.
    return null
  }
}
