import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import type { FileLayer } from '../../src/journal/files.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { seen, silentLog } from '../journal/disk.ts'
import { memoryDisk } from '../journal/memory.ts'
import { turns } from '../time.ts'

t.test('a checkpoint is due 5 s behind an event, and a disk that hangs has one of a position in line', async (t) => {
  const clock = createTestClock()
  const disk = memoryDisk()
  const gate = Promise.withResolvers<void>()
  let syncs = 0
  let hangs = false
  const files: FileLayer = {
    ...disk.files,
    open (path, mode) {
      const file = disk.files.open(path, mode)
      if (!path.endsWith('.seals')) return file
      return {
        ...file,
        async sync () {
          syncs++
          if (hangs) await gate.promise
          await file.sync()
        }
      }
    }
  }
  const config = { dataDir: 'mem', auditSigningKey: 'a secret of the tests that is long enough' }
  const audit = createAudit({ config, storage: null, clock, log: silentLog, processId: 'p', files })
  await audit.durable(seen)
  await audit.sealed()
  const before = syncs
  hangs = true
  await audit.durable(seen)
  clock.advance(4_999)
  await turns()
  t.equal(syncs, before)
  for (let i = 0; i < 12; i++) {
    clock.advance(5_000)
    await turns()
  }
  gate.resolve()
  await turns()
  t.equal(syncs, before + 1)
  await audit.close()
})
