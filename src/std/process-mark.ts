import { readFileSync } from 'node:fs'

/**
 * Marks of the operating system's processes, for locks that outlive them: number and start time, as numbers are given
 * again, above all in containers.
 */
export function ownMark (): string {
  return `${process.pid} ${startOf(process.pid) ?? '-'}`
}

/** Whether the process that left the mark still runs on this machine. */
export function isRunning (mark: string): boolean {
  const [pid, start] = mark.split(' ')
  if (!/^[1-9]\d{0,9}$/.test(pid ?? '')) return false
  const started = startOf(Number(pid))
  if (started !== null) return started === start
  try {
    process.kill(Number(pid), 0)
    // Without /proc the number alone must do.
    return start === '-'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' && start === '-'
  }
}

/** When a process started, in ticks since boot (field 22 of /proc/pid/stat); null where that is not to be had. */
function startOf (pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie writes nothing any more.
    return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : fields[19] ?? null
  } catch {
    return null
  }
}
