import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { isObjectType, printSchema } from 'graphql'
import { loadConfig, VARIABLES } from '../src/config/config.ts'
import * as errors from '../src/errors.ts'
import { rooms } from '../src/rooms.ts'
import { exportsOf, importsOf, longFunctions, packagesOf, readSource } from './tidy-source.ts'
import { buildNekoSchema } from '../src/schema/build-schema.ts'

const README_LINES_MAX = 200

/** The repository tests itself: what two places say must be the same in both. */
const root = new URL('..', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const readme = read('README.md')
const reference = read('deploy/reference.md')
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: fileURLToPath(root), encoding: 'utf8' }).split('\n').filter((path) => path !== '' && existsSync(new URL(path, root)))
const sources = tracked.filter((path) => /^(src|workers)\/.*\.ts$/.test(path))

t.test('the README is one that a stranger reads to its end, and what it points at is there', (t) => {
  t.ok(readme.trimEnd().split('\n').length <= README_LINES_MAX, `at most ${README_LINES_MAX} lines`)
  const named = [...readme.matchAll(/`((?:src|bench|test|deploy|workers)\/[\w./-]+)`/g), ...readme.matchAll(/\]\(([\w./-]+)(?:#[\w-]*)?\)/g)].map((match) => match[1] as string)
  t.same(named.filter((path) => !existsSync(new URL(path, root))), [])
  t.end()
})

t.test('no name, title or page asks the reader to look up a number', (t) => {
  const ROW = /\bR\d\d\b/
  const wrong = tracked.filter((path) => /(^|[/.-])r\d\d\b/i.test(path))
  if (ROW.test(readme) || ROW.test(reference)) wrong.push('README.md or deploy/reference.md')
  for (const path of tracked.filter((path) => /^test\/.*\.ts$/.test(path))) if (/\.test\(['"`][^'"`]*\bR\d\d\b/.test(read(path))) wrong.push(path)
  t.same(wrong, [])
  t.end()
})

t.test('what is judged by a time runs alone: `withinBar` is for the tier timing', (t) => {
  const allowed = /\.timing\.test\.ts$|^test\/nightly\/|^test\/bar\.ts$/
  t.same(tracked.filter((path) => /^test\/.*\.ts$/.test(path) && !allowed.test(path) && /\bwithinBar \}|\bwithinBar,|withinBar\(/.test(read(path)) && path !== 'test/tidy.system.test.ts'), [])
  t.end()
})

t.test('every error stands in the reference with its status, and the other way round', (t) => {
  const ours = Object.entries(errors).filter(([name]) => name.startsWith('NEKO_ERR_')).map(([name, make]) => `${name} ${new (make as new (...args: string[]) => { statusCode: number })('x', 'y').statusCode}`)
  const shown = [...reference.matchAll(/^\| `(NEKO_ERR_[A-Z_]+)` \| (\d{3}) \|/gm)].map((match) => `${match[1]} ${match[2]}`)
  t.same(shown.sort(), ours.sort())
  t.end()
})

t.test('every variable stands in .env.example and in the reference, with the default the code has', (t) => {
  const example = Object.fromEntries([...read('.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)].map((match) => [match[1], match[2]]))
  t.same(example, VARIABLES)
  const shown = [...reference.matchAll(/^\| `([A-Z_]+)` \| ([^|]*) \|/gm)].filter((match) => !match[1]!.startsWith('NEKO_ERR')).map((match) => [match[1], match[2]!.replaceAll('`', '').trim()])
  t.same(Object.fromEntries(shown), VARIABLES)
  t.end()
})

t.test('the printed schema is the one that was reviewed', (t) => {
  const printed = printSchema(buildNekoSchema(rooms)) + '\n'
  t.equal(printed, read('test/schema.graphql'), 'after a change of the SDL: node test/print-schema.ts > test/schema.graphql')
  t.end()
})

t.test('every field, argument and type of the schema has a description', (t) => {
  const bare: string[] = []
  for (const type of Object.values(buildNekoSchema(rooms).getTypeMap())) {
    if (type.name.startsWith('__') || !isObjectType(type)) continue
    if (!type.description) bare.push(type.name)
    for (const field of Object.values(type.getFields())) {
      if (!field.description) bare.push(`${type.name}.${field.name}`)
    }
  }
  t.same(bare, [])
  t.end()
})

t.test("each room's main files open with a header that says what they are for", (t) => {
  const bare = sources.filter((path) => /^src\/[a-z]+\/[a-z]+\.ts$/.test(path) && path.split('/')[1] === path.split('/')[2]!.replace('.ts', '') && !/\/\*\*[\s\S]{80,}?\*\//.test(read(path)))
  t.same(bare, [])
  t.end()
})

t.test('each plugin declares the rooms that its folder reads through the application', (t) => {
  const names = new Set(['config', 'clock', 'metrics', 'storage', 'fleet', 'cache', 'audit', 'identity', 'intel', 'limits', 'clients', 'threads', 'decisions', 'receipts', 'webhooks', 'incidents', 'playbooks'])
  const wrong: string[] = []
  for (const path of sources.filter((path) => path.endsWith('/plugin.ts'))) {
    const text = read(path)
    const own = path.split('/')[1]
    const declared = new Set([...(/dependencies: \[([^\]]*)\]/.exec(text)?.[1] ?? '').matchAll(/'([a-z]+)'/g)].map((match) => match[1] as string))
    const used = new Set([...text.matchAll(/\bapp\.([a-z]+)\b/g)].map((match) => match[1] as string).filter((name) => names.has(name) && name !== own))
    for (const destructured of text.matchAll(/const \{([^}]*)\} = app\b/g)) for (const name of destructured[1]!.split(',').map((part) => part.trim())) if (names.has(name) && name !== own) used.add(name)
    for (const name of used) if (!declared.has(name)) wrong.push(`${path} reads app.${name} without declaring it`)
  }
  t.same(wrong, [])
  t.end()
})

t.test('the top level holds what a reader expects, and nothing else', (t) => {
  const top = new Set(tracked.map((path) => path.split('/')[0] as string).filter((name) => !name.startsWith('.')))
  const expected = ['src', 'workers', 'bench', 'test', 'deploy', 'Dockerfile', 'docker-compose.yml', 'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE', 'CHANGELOG.md']
  t.same([...top].sort(), expected.sort())
  t.end()
})

t.test('no file holds a URL with a password, an unfinished mark, or a switched-off test', (t) => {
  const wrong: string[] = []
  for (const path of tracked.filter((path) => !path.endsWith('package-lock.json') && path !== 'test/tidy.system.test.ts')) {
    const text = read(path)
    if (/[a-z+]+:\/\/[^/\s:@'"`${}]+:[^/\s@'"`${}]+@/i.test(text)) wrong.push(`${path}: scheme://user:pass@`)
    if (/FIX[M]E/.test(text)) wrong.push(`${path}: unfinished`)
    if (/\b(?:t|test)\.(?:todo|only)\(|\{ (?:todo|only|skip): true/.test(text)) wrong.push(`${path}: a test is switched off`)
  }
  t.same(wrong, [])
  t.end()
})

t.test('every file with tests has a name by which it is run', (t) => {
  const named = /\.test\.ts$|^test\/nightly\//
  const makers = tracked.filter((path) => path.startsWith('test/') && /^import (?!type)[^\n]* from 'tap'$/m.test(read(path)) && /^(?:await )?(?:t|test|tap)\.test\(|^test\(/m.test(read(path)))
  t.same(makers.filter((path) => !named.test(path)), [])
  t.ok(makers.length > 200)
  t.end()
})

t.test('an import rule that is broken on purpose is seen (the compiler behind the checker works)', (t) => {
  const result = readdirSync(new URL('test/rooms/', root))
  t.ok(result.length > 0)
  const broken = { 'pure-core': 'pure-core', 'room-to-room': 'decisions-stays-below', 'walk-framework': 'walk-has-no-framework', 'transport-to-transport': 'transports-know-no-other' }
  const files = Object.keys(broken).map((file) => `test/rooms/${file}.ts`)
  let output = ''
  try {
    execFileSync(process.execPath, ['node_modules/dependency-cruiser/bin/dependency-cruiser.mjs', '--config', 'test/rooms/.dependency-cruiser.cjs', ...files], { cwd: fileURLToPath(root), encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    output = (error as { stdout: string }).stdout
  }
  for (const [file, rule] of Object.entries(broken)) t.match(output, `error ${rule}: test/rooms/${file}.ts`, file)
  t.end()
})

/** What later work gives a use; the date is when the exception was made. */
const NOT_YET_IMPORTED: Readonly<Record<string, string>> = {
  '@fastify/jwt': '2026-11-29: on the list of what the product is built from; what verifies tokens is fast-jwt below it',
  '@fastify/rate-limit': '2026-11-29: the same; limits shared by hosts give it one',
  '@fastify/redis': '2026-11-29: the same; limits shared by hosts give it one'
}
const NOT_YET_IN_EFFECT: Readonly<Record<string, string>> = {}
const COLUMNS_MAX = 120
const FUNCTION_LINES_MAX = 120

const parsed = tracked.filter((path) => /^(src|workers|test|bench)\/.*\.ts$/.test(path)).map((path) => readSource(root, path))
const ours = parsed.filter(({ path }) => /^(src|workers)\//.test(path))

t.test('no line of the sources is wider than 120 columns', (t) => {
  const wide = ours.flatMap(({ path, text }) => text.split('\n').flatMap((line, i) => line.length > COLUMNS_MAX ? [`${path}:${i + 1} ${line.length}`] : []))
  t.same(wide, [])
  t.end()
})

t.test('no function or closure is longer than 120 lines', (t) => {
  t.same(ours.flatMap((source) => longFunctions(source, FUNCTION_LINES_MAX)), [])
  t.end()
})

t.test('every export is imported by somebody', (t) => {
  const taken = new Set(parsed.flatMap(importsOf))
  const dead = ours.filter(({ path }) => path.startsWith('src/')).flatMap((source) => taken.has(`${source.path}#*`) ? [] : exportsOf(source).map((name) => `${source.path}#${name}`).filter((one) => !taken.has(one)))
  t.same(dead, [])
  t.end()
})

t.test('every dependency is imported', (t) => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  const imported = new Set(ours.flatMap(packagesOf))
  t.same(Object.keys(dependencies).filter((name) => !imported.has(name) && !Object.hasOwn(NOT_YET_IMPORTED, name)), [])
  t.same(Object.keys(NOT_YET_IMPORTED).filter((name) => imported.has(name) || !Object.hasOwn(dependencies, name)), [], 'no exception outlives its reason')
  t.end()
})

t.test('every setting has an effect', (t) => {
  const readers = ours.filter(({ path }) => !path.startsWith('src/config/')).map(({ text }) => text).join('\n')
  const idle = Object.keys(loadConfig({})).filter((key) => !new RegExp(`\\b${key}\\b`).test(readers))
  t.same(idle.filter((key) => !Object.hasOwn(NOT_YET_IN_EFFECT, key)), [])
  t.same(Object.keys(NOT_YET_IN_EFFECT).filter((key) => !idle.includes(key)), [], 'no exception outlives its reason')
  t.end()
})
