// A process that writes acknowledged audit events until it is killed: each acknowledged id is a line on stdout, written
// before anything else happens, so that what the parent reads was acknowledged and what it does not read may have been.
import { writeSync } from 'node:fs'
import { createAudit } from '../../src/audit/audit.ts'
import { systemClock } from '../../src/std/clock.ts'

const [dataDir, processId] = process.argv.slice(2) as [string, string]
// Started by kill.test.ts alone; a runner that is given the whole folder starts every file in it.
if (processId === undefined) process.exit(0)
const silent = { info () {}, warn () {}, error () {} }
const audit = createAudit({ config: { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }, storage: null, clock: systemClock, log: silent, processId, segmentBytes: 64 * 1024 })
let made = 0

async function write (): Promise<never> {
  for (;;) {
    const id = `${processId}-${made++}`
    audit.record({ category: 'access', type: 'request.seen', actor: 'ip:192.0.2.1', outcome: 'ok' })
    const event = await audit.durable({
      category: 'security',
      type: 'decision.add',
      actor: 'user:test',
      target: id,
      outcome: 'ok',
      effects: [{ collection: 'things', op: 'put', id, doc: { id, made } }]
    })
    writeSync(1, `${event.id} ${id}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, write))
