import type { ClusterStatus } from './status.ts'

/** `neko status` for people: one line about the host, one per process. */
export function statusText (status: ClusterStatus): string {
  const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`
  const rows = [
    ['slot', 'pid', 'state', 'up', 'memory', 'busy', 'restarts', 'process'],
    ...status.processes.map((
      one
    ) => [
      String(one.slot),
      String(one.pid),
      one.state,
      durationText(one.uptimeSeconds),
      mib(one.rssBytes),
      `${Math.round(one.utilization * 100)} %`,
      String(one.restarts),
      one.processId ?? '-'
    ])
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const table = rows.map((row) => '  ' + row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd())
  const { version, state, url, uptimeSeconds, pid, fleetProcesses } = status
  const head = `NEKO ${version} ${state} at ${url ?? 'no address yet'}, up ${durationText(uptimeSeconds)}, ` +
    `pid ${pid}; ${fleetProcesses} processes of all hosts serve`
  return [head, ...table].join('\n') + '\n'
}

function durationText (seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`
}
