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
