import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { ConfigError } from '../../src/config/config.ts'
import { localSigningKey } from '../../src/audit/signing.ts'
import { prepareSigningSecret, signingSecrets } from '../../src/identity/prepare.ts'
import { systemFiles } from '../../src/journal/files.ts'
import { ensureSecret, requireSecret } from '../../src/journal/secret-file.ts'
import type { SecretFile } from '../../src/journal/secret-file.ts'
import { bareEnvironment } from '../server.ts'
import { temporaryFolder } from './disk.ts'
import { memoryDisk } from './memory.ts'

const KEY = 'k'.repeat(64)
const keyIn = (directory: string, make = () => KEY): SecretFile => ({ directory, name: 'a.key', variable: 'A_KEY', charactersMin: 64, loss: 'all is lost', make })

t.test('at whatever step the power goes, a key is absent or whole, also where the disk kept names before bytes', async (t) => {
  const memory = memoryDisk()
  const found: Array<string | undefined> = []
  const look = (): void => {
    for (const keep of [0, 0.3, 0.99, 1]) for (const names of ['synced', 'now'] as const) found.push(memory.afterPowerCut(keep, names).get('mem/a.key')?.toString())
  }
  memory.onStep = look
  t.equal(ensureSecret(memory.files, keyIn('mem')), KEY)
  look()
  t.ok(found.length >= 40, `${found.length} points`)
  t.same([...new Set(found)], [undefined, `${KEY}\n`])
  t.equal(memory.afterPowerCut(0).get('mem/a.key')?.toString(), `${KEY}\n`, 'what was handed out is there for good')
  t.same([...memory.now().keys()], ['mem/a.key'], 'no draft stays')
})

t.test('a disk that cannot take a key is named as DATA_DIR, and keeps no half of one', async (t) => {
  let steps = 0
  for (let failing = 1; failing === 1 || steps >= failing - 1; failing++) {
    const memory = memoryDisk()
    steps = 0
    memory.onStep = () => { if (++steps === failing) throw Object.assign(new Error('full'), { code: 'ENOSPC' }) }
    try {
      t.equal(ensureSecret(memory.files, keyIn('mem')), KEY)
    } catch (error) {
      t.match(error, { name: 'ConfigError', message: 'DATA_DIR: cannot hold a.key (ENOSPC)' })
    }
    t.ok([undefined, `${KEY}\n`].includes(memory.now().get('mem/a.key')?.toString()))
  }
})

t.test('a damaged key file is named with what to do, never shown, and left as it is', async (t) => {
  const directory = temporaryFolder(t)
  const path = join(directory, 'a.key')
  const content = 'swordfish'
  for (const [what, bytes] of [
    ['empty', ''], ['cut short', content], ['no text', Buffer.alloc(65)], ['no text', Buffer.concat([Buffer.from(content.repeat(8)), Buffer.alloc(1)])],
    ['no text', Buffer.from(content.repeat(8), 'utf16le')], ['cut short', '\n'], ['cut short', `${' '.repeat(70)}\n`]
  ] as const) {
    writeFileSync(path, bytes)
    for (const read of [ensureSecret, requireSecret]) {
      try {
        read(systemFiles, keyIn(directory))
        t.fail(what)
      } catch (error) {
        t.ok(error instanceof ConfigError && error.variable === 'A_KEY')
        t.match((error as Error).message, new RegExp(`a\\.key (is|was) ${what}: restore it from a backup, or remove it .*all is lost`))
        t.notMatch((error as Error).message, content)
      }
    }
    t.same(readFileSync(path), Buffer.from(bytes), what)
  }
  writeFileSync(path, `  ${KEY}\r\n`)
  t.equal(ensureSecret(systemFiles, keyIn(directory)), KEY, 'blanks around it are nothing')
  for (const make of [() => { mkdirSync(path) }, () => { symlinkSync('/dev/zero', path) }, () => { symlinkSync('a.key', path) }]) {
    rmSync(path, { recursive: true })
    make()
    t.throws(() => ensureSecret(systemFiles, keyIn(directory)), /a\.key cannot be read \(E[A-Z]+\)/)
  }
})

t.test('a session key that was made by hand counts from 32 characters, the key of the seals from 64', async (t) => {
  const dataDir = temporaryFolder(t)
  const config = { dataDir, production: false, jwtSecrets: [] }
  for (const made of ['s'.repeat(32), randomBytes(32).toString('base64')]) {
    writeFileSync(join(dataDir, 'jwt.secret'), `${made}\n`)
    prepareSigningSecret(config)
    t.same(signingSecrets(config), [made])
    writeFileSync(join(dataDir, 'signing.key'), `${made}\n`)
    t.throws(() => ensureSecret(systemFiles, localSigningKey(dataDir)), /signing\.key was cut short/)
  }
  writeFileSync(join(dataDir, 'jwt.secret'), 's'.repeat(31))
  t.throws(() => prepareSigningSecret(config), /jwt\.secret was cut short/)
})

t.test('a key that is gone is made at a start alone', async (t) => {
  const directory = join(temporaryFolder(t), 'new')
  t.throws(() => requireSecret(systemFiles, keyIn(directory)), /a\.key is gone: restore it from a backup, or start the server again/)
  t.equal(ensureSecret(systemFiles, keyIn(directory)), KEY)
  t.equal(statSync(join(directory, 'a.key')).mode & 0o777, 0o600)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.equal(requireSecret(systemFiles, keyIn(directory)), KEY)
})

t.test('processes that start together end with one key', async (t) => {
  const directories = Array.from({ length: 20 }, () => temporaryFolder(t))
  const text = `
    import { ensureSecret } from ${JSON.stringify(new URL('../../src/journal/secret-file.ts', import.meta.url).href)}
    import { systemFiles } from ${JSON.stringify(new URL('../../src/journal/files.ts', import.meta.url).href)}
    import { createInterface } from 'node:readline'
    console.log('ready')
    for await (const directory of createInterface({ input: process.stdin })) {
      console.log(ensureSecret(systemFiles, { directory, name: 'a.key', variable: 'A_KEY', charactersMin: 64, loss: '', make: () => String(process.pid).padEnd(64, 'x') }))
    }`
  const children = Array.from({ length: 3 }, () => spawn(process.execPath, ['--input-type=module', '-e', text], { env: bareEnvironment(), stdio: ['pipe', 'pipe', 'inherit'] }))
  t.teardown(() => { for (const child of children) child.kill('SIGKILL') })
  const lines = children.map((child) => createInterface({ input: child.stdout })[Symbol.asyncIterator]())
  const all = (): Promise<string[]> => Promise.all(lines.map(async (line) => (await line.next()).value as string))
  t.same(await all(), ['ready', 'ready', 'ready'])
  for (const directory of directories) {
    for (const child of children) child.stdin.write(`${directory}\n`)
    const keys = await all()
    t.equal(new Set(keys).size, 1, keys.join())
    t.equal(readFileSync(join(directory, 'a.key'), 'utf8'), `${keys[0]}\n`)
    t.same(readdirSync(directory), ['a.key'])
  }
  for (const child of children) child.stdin.end()
  await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')))
})
