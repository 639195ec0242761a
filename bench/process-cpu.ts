import { readdirSync, readFileSync } from 'node:fs'

/**
 * How much processor time did a process take between two moments, threads included, and which of them took it?
 *
 * The kernel's `schedstat` of each thread counts nanoseconds; `stat`, in ticks of 10 ms, stands in where the kernel
 * keeps none, and where a thread ended in between and took its figure with it. Linux only.
 */
export interface CpuReading {
  /** By thread id; empty without schedstat. */
  threads: ReadonlyMap<number, { name: string, ns: number }>
  /** Of the whole process, ended threads included, in steps of TICK_NS. */
  tickNs: number
}

/** Microseconds. */
export interface CpuUse {
  processUs: number
  /** NaN without schedstat. */
  mainUs: number
  /** By the name that the kernel shows; threads of one name (V8's, libuv's) together. */
  byName: Record<string, number>
}

const MAIN = 'main'
const TICK_NS = 10_000_000

/** @throws ENOENT when the process is gone. */
export function readCpu (pid: number): CpuReading {
  const threads = new Map<number, { name: string, ns: number }>()
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const ns = firstField(`/proc/${pid}/task/${task}/schedstat`)
    const name = Number(task) === pid ? MAIN : firstField(`/proc/${pid}/task/${task}/comm`)
    if (ns !== null && name !== null) threads.set(Number(task), { name, ns: Number(ns) })
  }
  // Behind the program's name, which may hold anything, in brackets.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  return { threads, tickNs: (Number(fields[11]) + Number(fields[12])) * TICK_NS }
}

export function cpuBetween (before: CpuReading, after: CpuReading): CpuUse {
  const byName: Record<string, number> = {}
  for (const [thread, { name, ns }] of after.threads) {
    byName[name] = (byName[name] ?? 0) + (ns - (before.threads.get(thread)?.ns ?? 0)) / 1000
  }
  const isWhole = after.threads.size > 0 && [...before.threads.keys()].every((thread) => after.threads.has(thread))
  const processUs = isWhole
    ? Object.values(byName).reduce((sum, us) => sum + us, 0)
    : (after.tickNs - before.tickNs) / 1000
  return { processUs, mainUs: byName[MAIN] ?? NaN, byName }
}

/** Of all processors of this machine, in microseconds, what the hypervisor took from them included. */
export function machineBusyUs (): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.split(/ +/).slice(1).map(Number)
  return (user + nice + system + irq + softirq + steal) * TICK_NS / 1000
}

/** Null when the thread has just ended, or this kernel keeps no such figure. */
function firstField (file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim().split(' ', 1)[0] ?? null
  } catch {
    return null
  }
}
