/** Facts about what a client did before this request: flat numbers, so that they cross to a thread as one Float64Array. */
export interface HistorySnapshot {
  [fact: string]: number
}
