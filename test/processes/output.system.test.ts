import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { askServer } from '../../src/processes/control-client.ts'
import type { ClusterStatus } from '../../src/processes/status.ts'
import { bareEnvironment, makeDataDir } from '../server.ts'
import { until } from './load.ts'

/** Readers of stdout that leave before the banner. */
const main = fileURLToPath(new URL('small-main.ts', import.meta.url))

t.jobs = 2
for (const WORKERS of ['1', '2']) {
  t.test(`a stdout that nobody reads costs the log and not the server (WORKERS=${WORKERS})`, { buffered: true }, async (t) => {
    const dataDir = makeDataDir(t)
    const child = spawn(process.execPath, [main], {
      cwd: dataDir,
      env: { ...bareEnvironment(), NODE_ENV: 'test', HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', WORKERS, DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    t.teardown(() => child.kill('SIGKILL'))
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    const ended = once(child, 'exit')
    const serving = async (): Promise<boolean> => {
      const reply = await askServer({ dataDir, verb: 'status', args: null }, () => {}).catch(() => null)
      return reply?.ok === true && (reply.result as unknown as ClusterStatus).state === 'serving'
    }
    await until('it serves', serving)
    await until('it says so', () => stderr.includes('stdout cannot be written'))
    t.match(await askServer({ dataDir, verb: 'stop', args: null }, () => {}), { ok: true })
    t.same(await ended, [0, null])
    t.equal(stderr.match(/stdout cannot be written/g)?.length, 1)
    t.notMatch(stderr, /\n +at /, 'no stack')
  })
}
