// How many events a second does the audit trail take, and how many syncs does that cost?
// Scenarios: plain records at full speed, and acknowledged ones from 1, 16 and 256 callers. Prints one line of JSON each.
// node bench/audit.ts [directory]: on the disk that holds the directory (default: the system's temporary one).
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAudit } from '../src/audit/audit.ts'
import type { AuditService } from '../src/audit/audit.ts'
import type { AuditInput } from '../src/audit/shapes.ts'
import { systemClock } from '../src/std/clock.ts'

const SECONDS = 2
const event: AuditInput = {
  category: 'security',
  type: 'verdict.block',
  actor: 'ip:192.0.2.1',
  outcome: 'refused',
  assessmentId: 'as_0123456789ab_1z',
  score: 92,
  factor: 'payload',
  details: { path: '/login' }
}
const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'neko-bench-'))
const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), commit: commit() }

await scenario('plain records', async (audit, untilMs) => {
  let count = 0
  while (performance.now() < untilMs) {
    for (let i = 0; i < 1_000; i++) audit.record(event)
    count += 1_000
    await audit.drained()
  }
  return count
})
for (const callers of [1, 16, 256]) {
  await scenario(`acknowledged, ${callers} callers`, async (audit, untilMs) => {
    let count = 0
    await Promise.all(Array.from({ length: callers }, async () => {
      for (; performance.now() < untilMs; count++) await audit.durable(event)
    }))
    return count
  })
}
const audit = open('cost')
const cost: number[] = []
for (let round = 0; round < 20; round++) {
  const startMs = performance.now()
  for (let i = 0; i < 5_000; i++) audit.record(event)
  cost.push((performance.now() - startMs) / 5)
  await audit.drained()
}
await audit.close()
print({ scenario: 'cost of record() to its caller', microseconds: Number(cost.sort((a, b) => a - b)[10]!.toFixed(2)) })
rmSync(folder, { recursive: true })

async function scenario (name: string, run: (audit: AuditService, untilMs: number) => Promise<number>): Promise<void> {
  const audit = open(name.replace(/\W/g, ''))
  await run(audit, performance.now() + 300)
  const syncsBefore = audit.syncs()
  const startMs = performance.now()
  const count = await run(audit, startMs + SECONDS * 1_000)
  const seconds = (performance.now() - startMs) / 1_000
  print({ scenario: name, eventsPerSecond: Math.round(count / seconds), syncsPerSecond: Math.round((audit.syncs() - syncsBefore) / seconds) })
  await audit.close()
}

function open (processId: string): AuditService {
  const silent = { info () {}, warn () {}, error () {} }
  return createAudit({ config: { dataDir: folder, auditSigningKey: 'a secret of the bench that is long enough' }, storage: null, clock: systemClock, log: silent, processId })
}

function print (result: object): void {
  process.stdout.write(`${JSON.stringify({ ...result, ...machine })}\n`)
}

function commit (): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'none'
  }
}
