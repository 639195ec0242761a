import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { boundPipelines } from '../std/pipelines.ts'

/**
 * `GET /metrics` on a port of its own, so that what the public may reach and what the scraper may reach are
 * two things.
 */
export interface MetricsServer { port: number, close (): Promise<void> }

/** Scrapers are few: more than this is no scraper. */
const CONNECTIONS_MAX = 64
const TIMEOUT_MS = 10_000
/** A page of figures asks all processes. */
const PIPELINE = { begunMax: 1, readMax: 16 }

/** @throws the listen error (EADDRINUSE and its kind), for the caller to name the variable. */
export async function openMetricsServer (
  options: { host: string, port: number, render: () => Promise<string> }
): Promise<MetricsServer> {
  const server = createServer({
    requestTimeout: TIMEOUT_MS,
    headersTimeout: 5000,
    connectionsCheckingInterval: 1000
  }, (request, response) => {
    const path = request.url?.split('?', 1)[0]
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n')
      return
    }
    options.render().then((text) => {
      response.writeHead(200, {
        'content-type': 'text/plain; version=0.0.4; charset=utf-8',
        'cache-control': 'no-store'
      }).end(text)
    }, () => response.writeHead(503, { 'content-type': 'text/plain' }).end('no figures now\n'))
  })
  server.maxConnections = CONNECTIONS_MAX
  boundPipelines(server, PIPELINE)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }
}
