import t from 'tap'
import { prepareSigningKey } from '../src/audit/audit.ts'
import { loadConfig } from '../src/config/config.ts'
import { prepareRooms } from '../src/prepare.ts'
import { systemClock } from '../src/std/clock.ts'
import { silentLog } from '../src/storage/log.ts'
import { openStorage } from '../src/storage/open.ts'
import type { Logger } from '../src/telemetry/logger.ts'
import { makeDataDir } from './server.ts'

const log = silentLog as unknown as Logger

t.test('the password of the first administrator is shown also when a later step of the start fails', async (t) => {
  const config = loadConfig({ DATA_DIR: makeDataDir(t), LOG_LEVEL: 'silent', ADMIN_PASSWORD: '' })
  prepareSigningKey(config)
  const storage = await openStorage({ config, clock: systemClock, log: silentLog })
  t.teardown(() => storage.close())
  const shown: string[] = []
  const failing: typeof storage = {
    ...storage,
    collection: (definition, patience) => {
      if (/actor/i.test(definition.name)) throw new Error('the store went away')
      return storage.collection(definition, patience)
    }
  }
  const parts = { config, clock: systemClock, log, showFirstLogin: (password: string) => { shown.push(password) } }
  await t.rejects(prepareRooms(failing, parts), /went away/)
  t.match(shown, [/^[0-9a-z]{24}$/])
  await prepareRooms(storage, parts)
  t.equal(shown.length, 1, 'once')
})
