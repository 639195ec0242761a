/** One host, as `neko status` and the query `cluster` show it. Times in seconds, sizes in bytes. */
export interface ClusterStatus {
  version: string
  url: string | null
  metricsUrl: string | null
  /** `starting`, `serving`, `draining`. */
  state: string
  /** Processes configured (WORKERS). */
  workers: number
  uptimeSeconds: number
  /** Pid of the primary, or of the one server. */
  pid: number
  processes: ProcessStatus[]
  /** Serving processes of all hosts, this one's included. */
  fleetProcesses: number
}

export interface ProcessStatus {
  slot: number
  processId: string | null
  pid: number
  state: 'starting' | 'ready' | 'stalled' | 'draining'
  uptimeSeconds: number
  rssBytes: number
  heapUsedBytes: number
  /** Share of time that the event loop worked since the last beat, 0 to 1. */
  utilization: number
  /** Times that this slot was started again. */
  restarts: number
}
