import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../src/config/config.ts'
import { openControlSocket } from '../../src/processes/control.ts'
import { askServer } from '../../src/processes/control-client.ts'
import type { Json } from '../../src/std/json.ts'
import { makeDataDir, spawnServer, startServer } from '../server.ts'

/** The control socket is the lock of the data directory: one server, whoever comes when. */
const main = new URL('small-main.ts', import.meta.url)
const quiet = { warn () {} }
const verbsOf = (name: string) => ({ run: async () => ({ ok: true as const, result: name as Json }) })

t.test('of servers that start together on what a dead one left, one gets the directory', async (t) => {
  for (let round = 0; round < 20; round++) {
    const dataDir = makeDataDir(t)
    writeFileSync(join(dataDir, 'neko.sock'), '')
    const opened = await Promise.allSettled(['a', 'b', 'c'].map((name) => openControlSocket({ dataDir, verbs: verbsOf(name), log: quiet })))
    const [winner, ...others] = opened.filter(({ status }) => status === 'fulfilled')
    t.same(others, [], 'one')
    for (const one of opened) if (one.status === 'rejected') t.ok(one.reason instanceof ConfigError && one.reason.variable === 'DATA_DIR')
    t.match(await askServer({ dataDir, verb: 'who', args: null }, () => {}), { ok: true })
    t.equal(statSync(join(dataDir, 'neko.sock')).mode & 0o777, 0o600)
    await (winner as PromiseFulfilledResult<{ close (): Promise<void> }>).value.close()
  }
})

t.test('a server that closes leaves the socket of the one that came after it', async (t) => {
  const dataDir = makeDataDir(t)
  const first = await openControlSocket({ dataDir, verbs: verbsOf('first'), log: quiet })
  const { unlinkSync } = await import('node:fs')
  unlinkSync(join(dataDir, 'neko.sock'))
  const second = await openControlSocket({ dataDir, verbs: verbsOf('second'), log: quiet })
  await first.close()
  t.match(await askServer({ dataDir, verb: 'who', args: null }, () => {}), { ok: true, result: 'second' })
  await second.close()
})

t.test('a second server on the same directory is refused; after kill -9 the next one starts', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '1' } })
  const second = spawnServer(t, { main, dataDir: server.dataDir })
  t.equal((await second.ended).code, 78)
  t.match(second.logs(), [{ level: 'fatal', variable: 'DATA_DIR' }])
  await server.kill()
  const third = await startServer(t, { main, dataDir: server.dataDir })
  t.equal(await third.stop(), 0)
})
