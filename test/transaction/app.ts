import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createLocalFleet } from '../../src/fleet/local.ts'
import { prepareStore } from '../../src/prepare.ts'
import { createControlVerbs } from '../../src/processes/control.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import type { Teardown } from '../server.ts'

/**
 * The real application in this process, built as its one server builds it (src/processes/single.ts), so that a test
 * may hold its clock, read its log and put a spy or a fault in front of a room.
 */
export interface TestApp {
  app: FastifyInstance
  clock: TestClock
  port: number
  url: string
  /** Lines of the log since the last call. */
  takeLines (): Array<Record<string, unknown>>
}

/** Twelve characters, as a process names itself. */
export const PROCESS_ID = 'contractproc'

const ENVIRONMENT = {
  NODE_ENV: 'test',
  HOST: '127.0.0.1',
  PORT: '0',
  METRICS_PORT: '0',
  WORKERS: '1',
  SCORING_MODE: 'inline',
  TRUST_PROXY: '127.0.0.0/8',
  JWT_SECRET: 'a secret of the contract suite, long enough to sign with',
  ADMIN_PASSWORD: 'a long pass phrase of the contract suite'
}

/** @param environment over what every such application has: inline scoring, one process, a proxy on loopback */
export async function openApp (t: Teardown, environment: Record<string, string> = {}): Promise<TestApp> {
  const clock = createTestClock()
  const dataDir = mkdtempSync(join(tmpdir(), 'neko-contract-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  const config = loadConfig({ ...ENVIRONMENT, DATA_DIR: dataDir, ...environment })
  const lines: string[] = []
  const destination = { write: (line: string) => { lines.push(line) } }
  const logging = createLogger({ level: config.logLevel, processId: PROCESS_ID, slot: 0, destination })
  const { log } = logging
  const prepared = await prepareStore({ config, clock, log, showFirstLogin () {} })
  const app = await buildApp({
    config,
    clock,
    logging,
    prepared: { ...prepared },
    fleet: createLocalFleet({ processId: PROCESS_ID, clock, log }),
    control: createControlVerbs(log),
    draining: new AbortController().signal,
    clusterStatus: async () => { throw new Error('nobody asks for the status here') }
  })
  t.teardown(() => app.close())
  // How late the event loop of a shared machine is must not decide what is answered.
  app.isOverloaded = () => false
  await app.listen({ host: config.host, port: 0 })
  const { port } = app.server.address() as AddressInfo
  return {
    app,
    clock,
    port,
    url: `http://127.0.0.1:${port}`,
    takeLines () {
      logging.flush()
      return lines.splice(0).join('').trimEnd().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>)
    }
  }
}

/** Puts `stand` in the place of a method until the test is over. */
export function replace<O extends object, K extends keyof O> (t: Teardown, owner: O, name: K, stand: O[K]): void {
  const own = owner[name]
  owner[name] = stand
  t.teardown(() => { owner[name] = own })
}

/** The arguments of each call of a method until the test is over; it does what it did. */
export function spyOn<O extends object, K extends keyof O> (t: Teardown, owner: O, name: K): unknown[][] {
  const calls: unknown[][] = []
  const own = owner[name] as (...given: unknown[]) => unknown
  replace(t, owner, name, ((...given: unknown[]) => {
    calls.push(given)
    return own.apply(owner, given)
  }) as O[K])
  return calls
}
