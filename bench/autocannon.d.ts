/** What the benches use of autocannon, which brings no types. */
declare module 'autocannon' {
  namespace autocannon {
    interface Options {
      url: string
      connections?: number
      /** Seconds. */
      duration?: number
      /** Requests a second over all connections. */
      overallRate?: number
      method?: string
      headers?: Record<string, string>
      body?: string
      /** One after the other, on each connection. */
      requests?: Array<{ body?: string }>
      timeout?: number
    }
    interface Result {
      requests: { total: number, average: number }
      /** Milliseconds. */
      latency: { p50: number, p97_5: number, p99: number, max: number }
      errors: number
      timeouts: number
      non2xx: number
      '5xx': number
      statusCodeStats: Record<string, { count: number }>
    }
  }
  function autocannon (options: autocannon.Options): Promise<autocannon.Result>
  export = autocannon
}
