import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { accept, digestFiles } from '../../src/audit/acceptance.ts'
import { createAudit } from '../../src/audit/audit.ts'
import { readKeptCheckpoints } from '../../src/audit/kept-checkpoints.ts'
import { applyRetention } from '../../src/audit/retention.ts'
import type { Checkpoint } from '../../src/audit/checkpoints.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import type { StoredCheckpoint } from '../../src/audit/collections.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { verifyAudit, verifyDataDir } from '../../src/audit/verify.ts'
import type { VerifyReport } from '../../src/audit/verify-report.ts'
import { decodeLine, encodeLine, GENESIS } from '../../src/journal/chain.ts'
import { systemFiles } from '../../src/journal/files.ts'
import type { RecoveryReport } from '../../src/journal/recovery.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { CollectionDefinition, Storage } from '../../src/storage/port.ts'
import { memoryDisk } from '../journal/memory.ts'
import { memoryStore } from '../journal/memory-store.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'
import { openTestStorage } from '../storage.ts'

/** Whatever is done to seals, a start changes nothing of it, and verification says so until somebody accepts it. */
const secret = 'a secret of the tests that is long enough'
const other = 'another secret of the tests that is long enough'
const directory = 'mem/audit'
const LOG = `${directory}/dead-0.log`
const SEALS = `${directory}/dead.seals`
const EVENTS = 12
const things: CollectionDefinition = { name: 'things', indexes: [] }
type Disk = Map<string, Buffer>

t.test('no damage to seals is sealed over, and of a log whose seals do not hold nothing is taken', async (t) => {
  const given = await killed()
  const damages = [...damagesOf(given.disk)]
  t.ok(damages.length > 40, `${damages.length} kinds and places`)
  for (const [what, damage, key = secret] of damages) {
    for (const state of ['whole', 'cut', 'removed'] as const) {
      const disk = damage(new Map(given.disk))
      if (state === 'removed') disk.delete(LOG)
      else if (state === 'cut') disk.set(LOG, disk.get(LOG)!.subarray(0, disk.get(LOG)!.length >> 1))
      const name = `${what}, log ${state}`
      const place = open(disk, given.checkpoints, key)
      const report = await place.recover()
      if (what === 'nothing' && state === 'whole') {
        t.same([report.broken, (await place.verify()).findings], [[], []], 'what was not touched is closed and holds')
        continue
      }
      const left = place.now()
      const touched = [...disk].filter(([path, bytes]) => /\.(log|seals)$/.test(path) && /\/dead[.-]/.test(path) && !left.get(path)?.equals(bytes))
      const { findings } = await place.verify()
      const things = place.documents('things').size
      const isBroken = report.broken.some(({ processId }) => processId === 'dead')
      // Of a log that is gone with its seals the store knows, which verification asks.
      const isTold = isBroken || !(disk.has(LOG) || disk.has(SEALS))
      if (touched.length > 0 || findings.length === 0 || !isTold || (state === 'whole' && things !== (isBroken ? 0 : EVENTS))) {
        t.fail(name, { touched: touched.map(([path]) => path), findings, report, things })
      }
    }
  }
})

t.test('what somebody accepted is a note, until it changes; retention keeps the acceptance', async (t) => {
  const given = await killed()
  for (const [what, damage, key = secret] of [...damagesOf(given.disk)].filter((_, index) => index % 5 === 1)) {
    const place = open(damage(new Map(given.disk)), given.checkpoints, key)
    await place.recover()
    for (const { trail } of (await place.verify()).findings) t.ok(trail, `${what}: every finding can be accepted`)
    const trails = [...new Set((await place.verify()).findings.map(({ trail }) => trail!))]
    for (const trail of trails) await place.accept(trail)
    const accepted = await place.verify()
    t.same(accepted.findings, [], `${what}: it holds`)
    t.ok(accepted.notes.some(({ message }) => message.includes('is accepted as it is: power cut')), `${what}: with a note`)
    t.same((await applyRetention({ directory, signer: place.signer, clock: systemClock, isLive: () => false, files: place.files, bytesMax: 0, days: 1e9 })).filter((name) => !name.startsWith('other')), [], what)
    t.ok((await place.verify()).ok)

    for (const path of [LOG, SEALS]) {
      const bytes = place.now().get(path)
      if (bytes === undefined) continue
      const edited = open(place.now().set(path, Buffer.concat([bytes.subarray(0, -2), Buffer.from('x\n')])), given.checkpoints, key)
      t.equal((await edited.verify()).ok, false, `${what}: ${path} changed since`)
    }
    const judge = [...place.now().keys()].find((path) => /judge.*\.log$/.test(path))!
    const forged = place.now()
    forged.set(judge, Buffer.from(forged.get(judge)!.toString().replace('power cut', 'power cat')))
    t.equal((await open(forged, given.checkpoints, key).verify()).ok, false, `${what}: an edited acceptance changes nothing`)
  }
})

t.test('no acceptance silences a checkpoint that was kept elsewhere', async (t) => {
  const given = await killed()
  const kept = given.disk.get(SEALS)!.toString().trim().split('\n').flatMap((line) => readKept(line))
  t.ok(kept.length > 2, `${kept.length} checkpoints`)
  const lines = given.disk.get(LOG)!.toString().split(/(?<=\n)/)
  const first = kept[0]!
  const place = (edit: (lines: string[]) => string[]): Place => open(new Map(given.disk).set(LOG, Buffer.from(edit([...lines]).join(''))), given.checkpoints, secret)
  const edited = (lines: string[], seq: number): string[] => lines.map((line) => line.includes(`"target":"dead${seq}"`) ? line.replace('"actor":"', '"actor":"x') : line)
  const within: Array<[string, Place]> = [
    ['an edit', place((lines) => edited(lines, first.seq))],
    ['an edit, and a cut behind it', place((lines) => edited(lines, first.seq).slice(0, -3))],
    ['a chain that was made anew, and a cut behind it', place((lines) => remade(edited(lines, first.seq)).slice(0, -3))],
    ['all of it', open(without(given.disk, LOG, SEALS), given.checkpoints, secret)]
  ]
  for (const [what, judged] of within) {
    await judged.accept('dead')
    t.match(await judged.verify(), { ok: true, findings: [] }, what)
    t.ok((await judged.verify()).accepted.length > 0, `${what}: told as accepted`)
    for (const checkpoint of kept) {
      const report = await judged.verify([checkpoint])
      t.equal(report.ok, false, `${what}, against checkpoint ${checkpoint.number}`)
      t.ok(report.findings.every(({ isWitnessed }) => isWitnessed), what)
    }
  }
  const behind = place((lines) => edited(lines, first.seq + 2))
  await behind.accept('dead')
  t.match(await behind.verify([first]), { ok: true, findings: [] }, 'what that checkpoint sealed is there')
  t.equal((await behind.verify(kept)).ok, false)
})

/** A chain that holds by itself: what nobody without the key can seal. */
function remade (lines: string[]): string[] {
  let hash: string | null = null
  return lines.map((line) => {
    const bytes = Buffer.from(line)
    const { kind, seq } = JSON.parse(line) as { kind: string, seq: number }
    const read = decodeLine(bytes, 0, bytes.length - 1)
    if (hash === null || kind !== 'event') {
      if (typeof read !== 'string') hash = read.hash
      return line
    }
    const made = encodeLine(hash, 'event', seq, `"event":${JSON.stringify((JSON.parse(line) as { event: object }).event)}`)
    hash = made.hash
    return made.text
  })
}

function readKept (line: string): Checkpoint[] {
  return line.includes('"kind":"checkpoint"') ? readKeptCheckpoints(line) : []
}

function without (disk: Disk, ...paths: string[]): Disk {
  return new Map([...disk].filter(([path]) => !paths.includes(path)))
}

t.test('an acceptance that nothing seals is named, and changes nothing', async (t) => {
  const given = await killed()
  given.disk.delete(SEALS)
  const place = open(given.disk, given.checkpoints, secret)
  await place.recover()
  await place.accept('dead', false)
  const report = await place.verify()
  t.equal(report.ok, false)
  t.match(report.notes.map(({ message }) => message).join(), /an acceptance of dead does not count: it is not sealed yet/)
})

t.test('nothing behind the end of a log is taken for its continuation', async (t) => {
  const given = await killed()
  const first = open(given.disk, given.checkpoints, secret)
  await first.recover()
  const disk = first.now()
  const lines = disk.get(LOG)!
  const last = decodeLine(lines, lines.lastIndexOf(0x0a, lines.length - 2) + 1, lines.length - 1) as { hash: string, seq: number }
  const event = { id: 'x', at: 1, processId: 'dead', seq: last.seq, category: 'data', type: 'thing.put', actor: 'x', outcome: 'ok', effects: [{ collection: 'things', op: 'put', id: 'forged', doc: { id: 'forged' } }] }
  disk.set(LOG, Buffer.concat([lines, Buffer.from(encodeLine(last.hash, 'event', last.seq, `"event":${JSON.stringify(event)}`).text)]))
  disk.delete(`${directory}/dead.replayed`)
  const place = open(disk, given.checkpoints, secret)
  t.match((await place.recover()).broken, [{ processId: 'dead', problem: /behind the end/ }])
  t.notOk(place.documents('things').has('forged'))
  t.equal((await place.verify()).ok, false)
})

t.test('a torn end is cut off with one warning that tells its bytes; what is no torn record stays', async (t) => {
  const given = await killed()
  const log = given.disk.get(LOG)!
  const half = log.subarray(log.lastIndexOf(0x0a, log.length - 2) + 1, -20)
  const torn = open(new Map(given.disk).set(LOG, Buffer.concat([log, half])), given.checkpoints, secret)
  t.match(await torn.recover(), { broken: [], tornBytes: half.length })
  t.match(torn.warned, [{ processId: 'dead', tornBytes: half.length }])
  t.equal((await torn.verify()).ok, true)

  const noise = Buffer.from('0x'.repeat(100))
  const overwritten = open(new Map(given.disk).set(LOG, Buffer.concat([log, noise])), given.checkpoints, secret)
  t.match((await overwritten.recover()).broken, [{ problem: /no torn record/ }])
  t.equal((await overwritten.verify()).ok, false)
  t.equal(overwritten.now().get(LOG)!.length, log.length + noise.length)
})

t.test('a log that somebody made up changes nothing, in the store or in memory, whatever stands beside it', async (t) => {
  const given = await killed()
  const event = { id: 'ev_zzforgee_0', at: systemClock.now(), processId: 'zzforgee', seq: 0, category: 'data', type: 'user.role', actor: 'user:1', outcome: 'ok', effects: [{ collection: 'things', op: 'put', id: 'forged', doc: { id: 'forged', role: 'ADMIN' } }, { collection: 'things', op: 'delete', id: 'dead3' }] }
  const openLine = encodeLine(GENESIS, 'open', 0, '"processId":"zzforgee","segment":0,"reason":"start","at":1')
  const log = openLine.text + encodeLine(openLine.hash, 'event', 0, `"event":${JSON.stringify(event)}`).text
  const stranger = memoryDisk()
  const strange = createAudit({ config: { dataDir: 'mem', auditSigningKey: other }, storage: null, clock: systemClock, log: silentLog, processId: 'zzforgee', files: stranger.files })
  await strange.durable(seen)
  await strange.close()
  const lines = given.disk.get(SEALS)!.toString().split(/(?<=\n)/)
  const seals: { [what: string]: Buffer | string | null } = { none: null, empty: '', torn: lines[0]!.slice(0, 60), 'of another log': given.disk.get(SEALS)!, 'of another log under its name': lines[0]!.replace('"dead"', '"zzforgee"'), 'of another key': stranger.now().get(`${directory}/zzforgee.seals`)! }
  for (const [what, bytes] of Object.entries(seals)) {
    for (const mark of [null, { seq: 0, effectsSeq: 0, segment: 0, done: true }]) {
      const disk = new Map(given.disk).set(`${directory}/zzforgee-0.log`, Buffer.from(log))
      if (bytes !== null) disk.set(`${directory}/zzforgee.seals`, Buffer.from(bytes))
      if (mark !== null) disk.set(`${directory}/zzforgee.replayed`, Buffer.from(JSON.stringify(mark)))
      const place = open(disk, given.checkpoints, secret)
      for (const storage of [null, place.storage]) {
        const starting = createAudit({ config: { dataDir: 'mem', auditSigningKey: secret }, storage, clock: systemClock, log: silentLog, processId: 'starting', files: place.files })
        const pending = await starting.pendingEffects([things])
        t.equal(pending.filter(({ op, id }) => op === 'put' && id.startsWith('dead')).length, EVENTS, `seals: ${what}; memory has what was acknowledged`)
        t.equal(pending.length, EVENTS, 'and nothing else')
      }
      const report = await place.recover()
      if (mark === null) t.match(report.broken, [{ processId: 'zzforgee' }])
      t.same([...place.documents('things').keys()].sort(), Array.from({ length: EVENTS }, (_, i) => `dead${i}`).sort(), `seals: ${what}`)
      t.notOk([...place.documents('auditEvents').keys()].some((id) => id.startsWith('ev_zzforgee')))
    }
  }
})

t.test('of a log that was written anew beside its seals, what stands behind the last line that they name is not taken', async (t) => {
  const given = await killed()
  const lines = given.disk.get(LOG)!.toString().split(/(?<=\n)/)
  const sealed = new Set([...given.disk.get(SEALS)!.toString().matchAll(/"hash":"(\w+)"/g)].map(([, hash]) => hash))
  const isSealed = (line: string): boolean => sealed.has(JSON.parse(line).hash as string)
  const newest = lines.findLastIndex((line) => line !== '' && isSealed(line))
  for (let from = 1; from <= newest; from++) {
    const forged = chained(lines, from, (text) => text.replaceAll(/dead(\d+)/g, 'forged$1'))
    const kept = lines.slice(1, lines.slice(0, from).findLastIndex(isSealed) + 1)
    const ids = kept.map((line) => (JSON.parse(line) as { event: { target: string } }).event.target).sort()
    const logs = { all: forged, 'cut where the newest seal was': forged.slice(0, newest), 'what was there behind it': [...forged.slice(0, newest + 1), ...lines.slice(newest + 1)] }
    for (const [what, log] of Object.entries(logs)) {
      const place = open(new Map(given.disk).set(LOG, Buffer.from(log.join(''))), given.checkpoints, secret)
      const name = `written anew from line ${from}: ${what}`
      for (const storage of [null, place.storage]) {
        const starting = createAudit({ config: { dataDir: 'mem', auditSigningKey: secret }, storage, clock: systemClock, log: silentLog, processId: 'starting', files: place.files })
        t.same((await starting.pendingEffects([things])).map(({ id }) => id).sort(), ids, `${name}, in memory`)
      }
      for (const start of ['first', 'second']) {
        t.match((await place.recover()).broken, [{ processId: 'dead' }], `${name}, ${start} start`)
        t.same([...place.documents('things').keys()].sort(), ids, `${name}, in the store`)
        t.notOk([...place.documents('auditEvents').values()].some((event) => JSON.stringify(event).includes('forged')), `${name}, in the index`)
      }
      t.equal((await place.verify()).ok, false, name)
    }
  }
})

/** The log with its lines from `from` on as `edit` leaves them, in a chain that holds by itself. */
function chained (lines: readonly string[], from: number, edit: (text: string) => string): string[] {
  const before = Buffer.from(lines[from - 1]!)
  let { hash } = decodeLine(before, 0, before.length - 1) as { hash: string }
  return lines.map((line, index) => {
    if (index < from || line === '') return line
    const { kind, seq, event } = JSON.parse(line) as { kind: 'event', seq: number, event: object }
    const made = encodeLine(hash, kind, seq, `"event":${edit(JSON.stringify(event))}`)
    hash = made.hash
    return made.text
  })
}

t.test('a seal whose signature nobody verified proves nothing', async (t) => {
  const memory = memoryDisk()
  const audit = createAudit({ config: { dataDir: 'mem', auditSigningKey: secret }, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  for (let i = 0; i < 1_010; i++) {
    await audit.durable({ ...seen, target: `dead${i}`, effects: [{ collection: 'things', op: 'put', id: `dead${i}`, doc: { id: `dead${i}` } }] })
    await audit.sealed()
  }
  const disk = memory.now()
  const lines = disk.get(LOG)!.toString().split(/(?<=\n)/)
  const forged = chained(lines, 1, (text) => text.replaceAll(/dead(\d+)/g, 'forged$1'))
  const end = JSON.parse(forged.at(-1) || forged.at(-2)!) as { hash: string }
  const seals = disk.get(SEALS)!.toString().split(/(?<=\n)/)
  t.ok(seals.length > 1_005, `${seals.length} seals`)
  for (const kind of ['checkpoint', 'close', 'removed']) {
    const edited = seals.with(4, seals[4]!.replace(/"kind":"\w+"/, `"kind":"${kind}"`).replace(/"seq":\d+/, '"seq":1000000').replace(/"hash":"\w+"/, `"hash":"${end.hash}"`))
    const place = open(new Map(disk).set(LOG, Buffer.from(forged.join(''))).set(SEALS, Buffer.from(edited.join(''))), [], secret)
    t.match((await place.recover()).broken, [{ processId: 'dead' }], kind)
    t.same([place.documents('things').size, place.documents('auditEvents').size], [0, 0], kind)
    const starting = createAudit({ config: { dataDir: 'mem', auditSigningKey: secret }, storage: null, clock: systemClock, log: silentLog, processId: 'starting', files: place.files })
    t.same(await starting.pendingEffects([things]), [], kind)
  }
})

t.test('a start marks what was accepted, and retention leaves it as it is', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  const config = { dataDir: temporaryFolder(t), auditSigningKey: secret }
  const write = async (processId: string, work: (audit: ReturnType<typeof createAudit>) => Promise<unknown>): Promise<void> => {
    const audit = createAudit({ config, storage, clock: systemClock, log: silentLog, processId })
    await work(audit)
    await audit.close()
  }
  await write('damaged', async (audit) => { for (let i = 0; i < EVENTS; i++) await audit.durable(seen) })
  const path = join(config.dataDir, 'audit', 'damaged-0.log')
  writeFileSync(path, readFileSync(path).subarray(0, -300))
  rmSync(join(config.dataDir, 'audit', 'damaged.replayed'), { force: true })
  const start = (auditRetentionBytes?: number): ReturnType<typeof prepareAudit> => prepareAudit({ config: { ...config, auditRetentionBytes }, storage, clock: systemClock, log: silentLog, collections: [] })
  t.match((await start()).broken, [{ processId: 'damaged' }])
  const { findings } = await verifyDataDir(config, storage)
  const files = await digestFiles(systemFiles, join(config.dataDir, 'audit'), 'damaged')
  await write('judge', async (audit) => { await audit.accept(accept({ trail: 'damaged', because: 'power cut', files }, findings.filter(({ trail }) => trail === 'damaged')), 'cli') })
  for (const bytes of [undefined, 0, 0]) {
    await start(bytes)
    t.match(await verifyDataDir(config, storage), { ok: true, findings: [] }, `retention of ${bytes} bytes`)
    t.ok(existsSync(path))
  }
})

t.test('a log of a key that was rotated out waits for that key, and is whole then', async (t) => {
  const given = await killed()
  const rotated = open(given.disk, given.checkpoints, other)
  t.match((await rotated.recover()).broken, [{ processId: 'dead', problem: /AUDIT_SIGNING_KEY does not list/ }])
  t.same([rotated.documents('things').size, rotated.documents('auditEvents').size], [0, 0])
  const listed = open(rotated.now(), given.checkpoints, `${other},${secret}`)
  t.match(await listed.recover(), { broken: [], processes: 1, events: EVENTS, effects: EVENTS })
  t.equal(listed.documents('things').size, EVENTS)
})

/** A process that was killed with sealed and unsealed events, and another one that ended. */
async function killed (): Promise<{ disk: Disk, checkpoints: StoredCheckpoint[] }> {
  const { storage, documents } = memoryStore()
  const memory = memoryDisk()
  for (const processId of ['other', 'dead']) {
    const audit = createAudit({ config: { dataDir: 'mem', auditSigningKey: secret }, storage, clock: systemClock, log: silentLog, processId, files: memory.files })
    for (let i = 0; i < EVENTS; i++) {
      await audit.durable({ ...seen, target: `${processId}${i}`, effects: [{ collection: 'things', op: 'put', id: `${processId}${i}`, doc: { id: `${processId}${i}` } }] })
      if (i % 3 === 0) await audit.sealed()
    }
    if (processId === 'other') await audit.close()
  }
  const disk = memory.now()
  disk.set(`${directory}/other.replayed`, Buffer.from(JSON.stringify({ seq: EVENTS, effectsSeq: EVENTS, segment: 0, done: true })))
  return { disk, checkpoints: [...documents('auditCheckpoints').values()] as StoredCheckpoint[] }
}

/** What is done, how, and the key that the next start has. */
function * damagesOf (disk: Disk): Generator<[what: string, damage: (disk: Disk) => Disk, key?: string]> {
  const seals = disk.get(SEALS)!
  const text = seals.toString('latin1')
  const lines = text.split(/(?<=\n)/)
  const set = (bytes: Buffer | string) => (disk: Disk): Disk => disk.set(SEALS, typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  yield ['nothing', (disk) => disk]
  yield ['removed', (disk) => {
    disk.delete(SEALS)
    return disk
  }]
  yield ['emptied', set('')]
  yield ['of another process', (disk) => disk.set(SEALS, disk.get(`${directory}/other.seals`)!)]
  yield ['sealed by a key that was rotated out', (disk) => disk, other]
  for (const [index, line] of lines.entries()) {
    const before = lines.slice(0, index).join('')
    if (index > 0) yield [`truncated behind line ${index}`, set(before)]
    for (const part of [0.1, 0.5, 0.99]) yield [`truncated within line ${index + 1}`, set(before + line.slice(0, Math.floor(line.length * part)))]
    yield [`line ${index + 1} taken out`, set(lines.toSpliced(index, 1).join(''))]
    yield [`line ${index + 1} twice`, set(lines.toSpliced(index, 0, line).join(''))]
    if (index > 0) yield [`line ${index + 1} before ${index}`, set(lines.with(index, lines[index - 1]!).with(index - 1, line).join(''))]
  }
  for (let at = 3; at < seals.length; at += 97) {
    const flipped = Buffer.from(seals)
    flipped[at] = flipped[at]! ^ (1 << (at % 8))
    yield [`bit flipped at ${at}`, set(flipped)]
  }
}

interface Place {
  files: ReturnType<typeof memoryDisk>['files']
  signer: ReturnType<typeof createSigner>
  storage: Storage
  warned: object[]
  now (): Disk
  documents: ReturnType<typeof memoryStore>['documents']
  recover (): Promise<RecoveryReport>
  verify (against?: Checkpoint[]): Promise<VerifyReport>
  accept (trail: string, isClosed?: boolean): Promise<void>
}

/** A start on that disk, beside a store that knows these checkpoints. */
function open (disk: Disk, checkpoints: StoredCheckpoint[], key: string): Place {
  const memory = memoryDisk(disk)
  const { storage, documents } = memoryStore()
  for (const checkpoint of checkpoints) documents('auditCheckpoints').set(checkpoint.id, checkpoint)
  const signer = createSigner(key)
  const warned: object[] = []
  const log = { ...silentLog, warn: (fields: object) => { warned.push(fields) } }
  const verify = (against: Checkpoint[] = []): Promise<VerifyReport> => verifyAudit({ directory, signer, against, files: memory.files, checkpoints: [...documents('auditCheckpoints').values()] as StoredCheckpoint[] })
  let judges = 0
  return {
    files: memory.files,
    signer,
    storage,
    warned,
    now: memory.now,
    documents,
    verify,
    recover: () => recoverAudit({ directory, signer, storage, clock: systemClock, log, collections: [things], isLive: () => false, files: memory.files }),
    async accept (trail, isClosed = true) {
      const files = await digestFiles(memory.files, directory, trail)
      const findings = (await verify()).findings.filter((finding) => finding.trail === trail)
      const audit = createAudit({ config: { dataDir: 'mem', auditSigningKey: key }, storage, clock: systemClock, log: silentLog, processId: `judge${judges++}`, files: memory.files })
      if (isClosed) {
        await audit.accept(accept({ trail, because: 'power cut', files }, findings), 'cli')
        await audit.close()
        return
      }
      // Killed between the event and its seal: the first checkpoint has gone by.
      await audit.durable(seen)
      await audit.sealed()
      const { trail: target, ...details } = accept({ trail, because: 'power cut', files }, findings)
      await audit.durable({ category: 'security', type: 'audit.accepted', actor: 'system', target, outcome: 'ok', details: { origin: 'cli', ...details } })
    }
  }
}
