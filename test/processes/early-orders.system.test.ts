import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { askServer } from '../../src/processes/control-client.ts'
import { EARLY_GRACE_MS } from '../../src/processes/orders.ts'
import { spawnServer } from '../server.ts'
import { until } from './load.ts'
import { showFigure } from '../bar.ts'

/**
 * Orders that come while a server starts: a deployment that is taken back, a Ctrl-C right after `npm start`. They come at
 * moments that are drawn, from the first at which a process can obey: before that Node itself, or the system, ends it.
 */
type Spawned = ReturnType<typeof spawnServer>
const MOMENT_MS_MAX = 1_500
const READY_MS_MAX = 60_000
/** A busy machine may keep the order from a process, and the line of one that was about to be ready. */
const UNSERVED_MS_MAX = 3_000
const SIGHUP = 1n

/** The system says which signals a process listens to. */
function listens ({ pid }: Spawned): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
  return (BigInt(`0x${caught}`) & SIGHUP) !== 0n
}

function childrenOf ({ pid }: Spawned): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter((text) => text !== '').map(Number)
  } catch {
    return []
  }
}

const wasReady = (server: Spawned): boolean => server.output().includes('is ready')

/** It ended as ordered: with 0, and nothing of it is left. */
async function ended (t: Test, server: Spawned, order: () => unknown): Promise<void> {
  const [startMs, orderedMs] = [performance.now(), Date.now()]
  await order()
  const children = childrenOf(server)
  const { code, signal } = await server.ended
  showFigure(t, 'from the order to the end', performance.now() - startMs, 1_000)
  t.same([code, signal], [0, null])
  const ready = server.logs().find(({ msg }) => msg === 'ready')
  t.ok(ready === undefined || Date.parse(String(ready.time)) <= orderedMs + EARLY_GRACE_MS + UNSERVED_MS_MAX, 'nothing becomes ready after the order but what was under way')
  t.notOk(existsSync(join(server.dataDir, 'neko.sock')), 'the data directory is free')
  await until('no process is left', () => children.every((pid) => !existsSync(`/proc/${pid}`)))
}

const skip = process.platform === 'linux' ? false : 'it takes /proc'
t.jobs = 3
for (const WORKERS of ['1', '2']) {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const momentMs = Math.round(Math.random() * MOMENT_MS_MAX)
    t.test(`${signal} ${momentMs} ms into the start of ${WORKERS} ends it in order`, { skip, buffered: true }, async (t) => {
      const server = spawnServer(t, { env: { WORKERS } })
      await until('it listens to signals', () => listens(server), READY_MS_MAX)
      await sleep(momentMs)
      await ended(t, server, () => {
        // A terminal sends it to all processes of the group.
        for (const pid of childrenOf(server)) process.kill(pid, signal)
        server.signal(signal)
      })
    })
  }

  t.test(`\`neko stop\` ends a start of ${WORKERS} as soon as it can be asked for`, { buffered: true }, async (t) => {
    const server = spawnServer(t, { env: { WORKERS } })
    const ask = (): Promise<unknown> => askServer({ dataDir: server.dataDir, verb: 'stop', args: null }, () => {})
    await until('the socket is there', () => existsSync(join(server.dataDir, 'neko.sock')), READY_MS_MAX)
    await ended(t, server, async () => t.match(await ask(), { ok: true }))
  })
}

t.test('SIGHUP while a fleet starts is a reload once there is somebody to replace', { skip, buffered: true }, async (t) => {
  const server = spawnServer(t, { env: { WORKERS: '2' } })
  await until('it listens to signals', () => listens(server), READY_MS_MAX)
  server.signal('SIGHUP')
  await until('it serves', () => wasReady(server), READY_MS_MAX)
  await until('it reloaded', () => server.logs().some(({ msg }) => msg === 'reloaded'), READY_MS_MAX)
  t.equal(await server.stop(), 0)
})
