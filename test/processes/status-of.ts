import { readdirSync, readFileSync } from 'node:fs'
import { askServer } from '../../src/processes/control-client.ts'
import type { ClusterStatus } from '../../src/processes/status.ts'
import type { StartedServer } from '../server.ts'

export type Processes = ClusterStatus['processes']

/** What `neko status` says. */
export async function statusOf (server: StartedServer): Promise<ClusterStatus> {
  const reply = await askServer({ dataDir: server.dataDir, verb: 'status', args: null }, () => {})
  if (reply === null || !reply.ok) throw new Error('no status')
  return reply.result as unknown as ClusterStatus
}

export async function readyOf (server: StartedServer): Promise<Processes> {
  return (await statusOf(server)).processes.filter(({ state }) => state === 'ready')
}

export function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Whether all threads of a process stand still: SIGSTOP reaches them one after the other. Needs /proc. */
export function isStopped (pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((task) => /^State:\s+[tT]/m.test(readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')))
}
