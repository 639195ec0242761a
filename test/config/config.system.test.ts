import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { ConfigError, VARIABLES, environmentWith, loadConfig, readEnvironment } from '../../src/config/config.ts'
import type { Config } from '../../src/config/config.ts'
import { strongKey } from '../e2e/client.ts'

/** Every variable: a good value and what it becomes, and values that are refused by name, never showing themselves. */
type Environment = Record<string, string>
const url = (scheme: string, rest: string): string => `${scheme}://${rest}`
const at = (read: (config: Config) => unknown) => read

const GOOD: Array<[env: Environment, read: (config: Config) => unknown, expected: unknown]> = [
  [{ NODE_ENV: 'test' }, at((c) => c.production), false],
  [{ HOST: '0.0.0.0' }, at((c) => c.host), '0.0.0.0'],
  [{ PORT: '8080' }, at((c) => c.port), 8080],
  [{ METRICS_PORT: '0' }, at((c) => c.metricsPort), 0],
  [{ DATA_DIR: '/tmp/x' }, at((c) => c.dataDir), '/tmp/x'],
  [{ TRUST_PROXY: '10.0.0.0/8, ::1,192.0.2.1' }, at((c) => c.trustProxy), ['10.0.0.0/8', '::1/128', '192.0.2.1/32']],
  [{ LOG_LEVEL: 'debug' }, at((c) => c.logLevel), 'debug'],
  [{ LOG_REQUESTS: 'acted' }, at((c) => c.logRequests), 'acted'],
  [{ CACHE_DEDUPE_SECONDS: '5' }, at((c) => c.cacheDedupeSeconds), 5],
  [{ WORKERS: '3' }, at((c) => c.workers), 3],
  [{ SCORING_THREADS: '2' }, at((c) => c.scoringThreads), 2],
  [{ SCORING_MODE: 'inline' }, at((c) => c.scoringMode), 'inline'],
  [{ SENSITIVITY: '4' }, at((c) => c.sensitivity), 4],
  [{ MONGODB_URI: url('mongodb', 'db/') }, at((c) => c.mongodbUri), url('mongodb', 'db/')],
  [{ MONGODB_DATABASE: 'neko_2' }, at((c) => c.mongodbDatabase), 'neko_2'],
  [{ REDIS_URL: url('rediss', 'cache:6380') }, at((c) => c.redisUrl), url('rediss', 'cache:6380')],
  [{ REDIS_HOST: 'cache' }, at((c) => c.redisUrl), url('redis', 'cache:6379')],
  [{ REDIS_HOST: 'cache', REDIS_PORT: '6380' }, at((c) => c.redisUrl), url('redis', 'cache:6380')],
  [{ REDIS_HOST: '::1' }, at((c) => c.redisUrl), url('redis', '[::1]:6379')],
  [{ REDIS_HOST: 'cache', REDIS_PORT: url('tcp', '10.0.0.1:6379') }, at((c) => c.redisUrl), url('redis', 'cache:6379')],
  [{ REDIS_PORT: url('tcp', '10.0.0.1:6379') }, at((c) => c.redisUrl), null],
  [{ REDIS_URL: url('redis', 'a'), REDIS_HOST: 'b' }, at((c) => c.redisUrl), url('redis', 'a')],
  [{ CACHE_REDIS_URL: url('redis', 'cache') }, at((c) => c.cacheRedisUrl), url('redis', 'cache')],
  [{ JWT_SECRET: 'one, two' }, at((c) => c.jwtSecrets), ['one', 'two']],
  [{ JWT_EXPIRATION: '2h' }, at((c) => c.jwtExpirationSeconds), 7200],
  [{ JWT_EXPIRATION: '90' }, at((c) => c.jwtExpirationSeconds), 90],
  [{ CORS_ORIGIN: 'https://a.example, https://b.example/' }, at((c) => c.corsOrigins), ['https://a.example', 'https://b.example']],
  [{ ADMIN_USERNAME: 'ops@example.org' }, at((c) => c.adminUsername), 'ops@example.org'],
  [{ ADMIN_PASSWORD: '\u{1F408}'.repeat(12) }, at((c) => c.adminPassword), '\u{1F408}'.repeat(12)],
  [{ AUDIT_SIGNING_KEY: 'short outside production' }, at((c) => c.auditSigningKey), 'short outside production'],
  [{ AUDIT_PSEUDONYM_KEY: 'any outside production', AUDIT_RETENTION_DAYS: '30', AUDIT_RETENTION_MB: '64' }, at((c) => [c.auditPseudonymKey, c.auditRetentionDays, c.auditRetentionBytes]), ['any outside production', 30, 67_108_864]],
  [{}, at((c) => [c.auditPseudonymKey, c.auditRetentionDays, c.auditRetentionBytes]), [null, 365, 10_737_418_240]],
  [{ RATE_LIMIT_MAX: '50', RATE_LIMIT_TTL: '10' }, at((c) => c.rates.service), { max: 50, windowSeconds: 10, blockSeconds: 0 }],
  [{ RATE_LIMIT_STRICT: '5/30/60' }, at((c) => c.rates.strict), { max: 5, windowSeconds: 30, blockSeconds: 60 }],
  [{ RATE_LIMIT_STANDARD: '5/30/0' }, at((c) => c.rates.standard), { max: 5, windowSeconds: 30, blockSeconds: 0 }],
  [{ RATE_LIMIT_RELAXED: '9/9/9' }, at((c) => c.rates.relaxed), { max: 9, windowSeconds: 9, blockSeconds: 9 }],
  [{ CACHE_TTL: '1', CACHE_TTL_SHORT: '2', CACHE_TTL_MEDIUM: '3', CACHE_TTL_LONG: '0' }, at((c) => c.cacheTtlSeconds), { standard: 1, short: 2, medium: 3, long: 0 }],
  [{ ENFORCEMENT: 'shadow' }, at((c) => c.enforcement), 'shadow'],
  [{ CHALLENGE_THRESHOLD: '30', BLOCK_THRESHOLD: '30' }, at((c) => [c.challengeThreshold, c.blockThreshold]), [30, 30]],
  [{ NEVER_BLOCK: '192.0.2.0/24' }, at((c) => [c.neverBlock, c.neverBlockIsDefault]), [['192.0.2.0/24'], false]],
  [{}, at((c) => [c.neverBlock, c.neverBlockIsDefault]), [['127.0.0.0/8', '::1/128'], true]],
  [{ EXPOSE_SCORE: 'true' }, at((c) => c.exposeScore), true],
  [{ GRAPHQL_BATCH_MAX: '10' }, at((c) => c.graphqlBatchMax), 10],
  [{ ASSESSMENT_RETENTION_DAYS: '7' }, at((c) => c.assessmentRetentionDays), 7],
  [{ INCIDENT_RETENTION_DAYS: '90' }, at((c) => c.incidentRetentionDays), 90],
  [{ DECOY_PATHS: '/.env, /x.php,/.env' }, at((c) => c.decoyPaths), ['/.env', '/x.php']],
  [{ DECOY_PATHS: 'none' }, at((c) => c.decoyPaths), []],
  [{ WEBHOOK_URLS: 'https://hooks.example/a', WEBHOOK_SECRET: 's' }, at((c) => [c.webhookUrls, c.webhookSecret]), [['https://hooks.example/a'], 's']],
  [{ WEBHOOK_CHECKPOINTS: 'false' }, at((c) => c.webhookCheckpoints), false],
  [{ WORKER_MAX_RSS_MB: '512' }, at((c) => c.workerMaxRssBytes), 512 * 1_048_576],
  [{ REGION: 'eu-1' }, at((c) => c.region), 'eu-1'],
  [{ SHUTDOWN_TIMEOUT_MS: '1000' }, at((c) => c.shutdownTimeoutMs), 1000]
]

const production = (): Environment => ({ NODE_ENV: 'production', JWT_SECRET: strongKey(), AUDIT_SIGNING_KEY: strongKey() })
const BAD: Array<[variable: string, env: Environment]> = [
  ['NODE_ENV', { NODE_ENV: 'prod' }],
  ['PORT', { PORT: '65536' }], ['PORT', { PORT: '-1' }], ['PORT', { PORT: '4000.5' }], ['PORT', { PORT: '0x10' }], ['METRICS_PORT', { METRICS_PORT: 'metrics' }],
  ['TRUST_PROXY', { TRUST_PROXY: '1' }], ['TRUST_PROXY', { TRUST_PROXY: '10.0.0.0/33' }], ['TRUST_PROXY', { TRUST_PROXY: '::/129' }], ['TRUST_PROXY', { TRUST_PROXY: '10.0.0.0/8/8' }],
  ['LOG_LEVEL', { LOG_LEVEL: 'verbose' }], ['LOG_REQUESTS', { LOG_REQUESTS: 'some' }], ['CACHE_DEDUPE_SECONDS', { CACHE_DEDUPE_SECONDS: '61' }], ['WORKERS', { WORKERS: '0' }], ['WORKERS', { WORKERS: '257' }], ['WORKERS', { WORKERS: 'many' }],
  ['SCORING_THREADS', { SCORING_THREADS: '0' }], ['SCORING_MODE', { SCORING_MODE: 'loop' }], ['SENSITIVITY', { SENSITIVITY: '5' }],
  ['MONGODB_URI', { MONGODB_URI: url('postgres', 'db') }], ['MONGODB_URI', { MONGODB_URI: url('mongodb', '') }], ['MONGODB_URI', { ...production(), MONGODB_URI: url('mongodb', 'db/?tlsInsecure=true') }],
  ['MONGODB_DATABASE', { MONGODB_DATABASE: 'a.b' }],
  ['REDIS_URL', { REDIS_URL: 'cache:6379' }], ['REDIS_URL', { REDIS_URL: url('redi', 'cache') }], ['CACHE_REDIS_URL', { CACHE_REDIS_URL: 'cache' }],
  ['REDIS_HOST', { REDIS_HOST: 'cache host' }], ['REDIS_PORT', { REDIS_HOST: 'cache', REDIS_PORT: 'sixty' }], ['REDIS_PORT', { REDIS_HOST: 'cache', REDIS_PORT: '0' }],
  ['JWT_SECRET', { NODE_ENV: 'production', AUDIT_SIGNING_KEY: strongKey() }], ['JWT_SECRET', { ...production(), JWT_SECRET: 'x'.repeat(31) }], ['JWT_SECRET', { ...production(), JWT_SECRET: 'change-me-change-me-change-me-change-me' }],
  ['JWT_SECRET', { ...production(), JWT_SECRET: 'ab'.repeat(20) }], ['JWT_SECRET', { ...production(), JWT_SECRET: `${strongKey()},short` }], ['JWT_SECRET', { JWT_SECRET: 'abcdefghi'.split('').join(',') }],
  ['JWT_EXPIRATION', { JWT_EXPIRATION: '0' }], ['JWT_EXPIRATION', { JWT_EXPIRATION: '31d' }], ['JWT_EXPIRATION', { JWT_EXPIRATION: 'soon' }],
  ['CORS_ORIGIN', { CORS_ORIGIN: '*' }], ['CORS_ORIGIN', { CORS_ORIGIN: 'https://a.example/path' }], ['CORS_ORIGIN', { CORS_ORIGIN: 'a.example' }], ['CORS_ORIGIN', { CORS_ORIGIN: 'null' }],
  ['ADMIN_USERNAME', { ADMIN_USERNAME: 'a b' }], ['ADMIN_PASSWORD', { ADMIN_PASSWORD: 'elevenchars' }],
  ['AUDIT_SIGNING_KEY', { NODE_ENV: 'production', JWT_SECRET: strongKey() }], ['AUDIT_SIGNING_KEY', { ...production(), AUDIT_SIGNING_KEY: 'your-signing-key-your-signing-key-your' }],
  ['RATE_LIMIT_TTL', { RATE_LIMIT_TTL: '0' }], ['RATE_LIMIT_MAX', { RATE_LIMIT_MAX: 'unlimited' }],
  // Without its third part a rate would lose its block without a word.
  ['RATE_LIMIT_STRICT', { RATE_LIMIT_STRICT: '10/60' }], ['RATE_LIMIT_STANDARD', { RATE_LIMIT_STANDARD: '100/60' }], ['RATE_LIMIT_RELAXED', { RATE_LIMIT_RELAXED: '500/60/' }], ['RATE_LIMIT_STRICT', { RATE_LIMIT_STRICT: '10/86401/0' }],
  ['RATE_LIMIT_STRICT', { RATE_LIMIT_STRICT: '10' }], ['RATE_LIMIT_STANDARD', { RATE_LIMIT_STANDARD: '0/60' }], ['RATE_LIMIT_RELAXED', { RATE_LIMIT_RELAXED: '10/0' }],
  ['CACHE_TTL', { CACHE_TTL: '-1' }], ['CACHE_TTL_SHORT', { CACHE_TTL_SHORT: 'a' }], ['CACHE_TTL_MEDIUM', { CACHE_TTL_MEDIUM: '1e3' }], ['CACHE_TTL_LONG', { CACHE_TTL_LONG: '86401' }],
  ['ENFORCEMENT', { ENFORCEMENT: 'off' }], ['CHALLENGE_THRESHOLD', { CHALLENGE_THRESHOLD: '0' }], ['CHALLENGE_THRESHOLD', { CHALLENGE_THRESHOLD: '80' }], ['BLOCK_THRESHOLD', { BLOCK_THRESHOLD: '101' }],
  ['NEVER_BLOCK', { NEVER_BLOCK: 'localhost' }], ['EXPOSE_SCORE', { EXPOSE_SCORE: 'yes' }], ['GRAPHQL_BATCH_MAX', { GRAPHQL_BATCH_MAX: '11' }],
  ['AUDIT_SIGNING_KEY', { ...production(), AUDIT_SIGNING_KEY: `${strongKey()},short` }], ['AUDIT_SIGNING_KEY', { AUDIT_SIGNING_KEY: '-----BEGIN PUBLIC KEY-----\nx' }], ['AUDIT_SIGNING_KEY', { AUDIT_SIGNING_KEY: Array.from({ length: 9 }, strongKey).join() }],
  ['AUDIT_PSEUDONYM_KEY', { ...production(), AUDIT_PSEUDONYM_KEY: 'short' }], ['WEBHOOK_SECRET', { ...production(), WEBHOOK_URLS: 'https://hooks.example', WEBHOOK_SECRET: 'short' }], ['AUDIT_RETENTION_DAYS', { AUDIT_RETENTION_DAYS: '0' }], ['AUDIT_RETENTION_MB', { AUDIT_RETENTION_MB: '1' }], ['WEBHOOK_CHECKPOINTS', { WEBHOOK_CHECKPOINTS: 'yes' }],
  ['ASSESSMENT_RETENTION_DAYS', { ASSESSMENT_RETENTION_DAYS: '0' }], ['INCIDENT_RETENTION_DAYS', { INCIDENT_RETENTION_DAYS: '0' }], ['INCIDENT_RETENTION_DAYS', { INCIDENT_RETENTION_DAYS: '3651' }], ['DECOY_PATHS', { DECOY_PATHS: 'env' }],
  ...['/graphql', '/.env,/graphql/', '/graphiql/graphiql.js', '/health', '/health/live/', '/healthz', '/api/health', '/v1/assess', '/v1/intel/import', '/metrics', '//', '/a//b'].map((paths): [string, Environment] => ['DECOY_PATHS', { DECOY_PATHS: paths }]),
  ['DECOY_PATHS', { DECOY_PATHS: Array.from({ length: 501 }, (_, i) => `/d${i}`).join() }],
  ['METRICS_PORT', { PORT: '4000', METRICS_PORT: '4000' }], ['METRICS_PORT', { PORT: '9464' }], ['HOST', { HOST: 'a host' }], ['HOST', { HOST: 'http:' + '//a.example' }],
  ['TRUST_PROXY', { TRUST_PROXY: '0.0.0.0/0' }], ['TRUST_PROXY', { TRUST_PROXY: '10.0.0.0/8,::/0' }], ['ADMIN_PASSWORD', { ADMIN_PASSWORD: 'x'.repeat(257) }], ['REGION', { REGION: 'x'.repeat(65) }], ['REGION', { REGION: 'a\nb' }],
  ['WEBHOOK_URLS', { WEBHOOK_URLS: Array.from({ length: 17 }, (_, i) => `https://hooks.example/${i}`).join(), WEBHOOK_SECRET: 's' }],
  ['WEBHOOK_URLS', { WEBHOOK_URLS: 'ftp://hooks.example', WEBHOOK_SECRET: 's' }], ['WEBHOOK_URLS', { WEBHOOK_URLS: 'hooks', WEBHOOK_SECRET: 's' }], ['WEBHOOK_SECRET', { WEBHOOK_URLS: 'https://hooks.example' }],
  ['WORKER_MAX_RSS_MB', { WORKER_MAX_RSS_MB: '63' }], ['SHUTDOWN_TIMEOUT_MS', { SHUTDOWN_TIMEOUT_MS: '999' }],
  ['JWT_SECRET_FILE', { JWT_SECRET_FILE: '/nowhere/at/all' }], ['JWT_SECRET_FILE', { JWT_SECRET_FILE: '/etc/hostname', JWT_SECRET: 'beside' }], ['REDIS_URL_FILE', { REDIS_URL_FILE: '/dev/null' }]
]

t.test('a good value of every variable', async (t) => {
  for (const [env, read, expected] of GOOD) t.same(read(loadConfig(env)), expected, JSON.stringify(env))
  const seen = new Set(GOOD.flatMap(([env]) => Object.keys(env)))
  t.same(Object.keys(VARIABLES).filter((name) => !seen.has(name)), [], 'none is left out')
})

t.test('a bad value is refused by the name of its variable, and never shown', async (t) => {
  for (const [variable, env] of BAD) {
    const shown = Object.keys(env).join(' ')
    try {
      loadConfig(env)
      t.fail(`${variable} of ${shown} is taken`)
    } catch (error) {
      t.ok(error instanceof ConfigError, shown)
      t.equal((error as ConfigError).variable, variable, shown)
      const value = env[variable] ?? ''
      if (value.length > 10) t.notOk((error as ConfigError).message.includes(value), shown)
    }
  }
})

t.test('empty is unset, blanks around are nothing, and the whole is frozen', async (t) => {
  const config = loadConfig({ PORT: '', LOG_LEVEL: ' warn ', REDIS_URL: '', JWT_SECRET: '' })
  t.match(config, { port: 4000, logLevel: 'warn', redisUrl: null, jwtSecrets: [], corsOrigins: ['http://localhost:3000'], metricsPort: 9464 })
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.rates) && Object.isFrozen(config.rates.strict) && Object.isFrozen(config.neverBlock))
  t.same(loadConfig(production()).corsOrigins, [], 'production opens to no origin by itself')
  t.ok(loadConfig({}).workers >= 1)
})

t.test('a near miss of a name is a warning with what was meant; strangers and ours are none', async (t) => {
  const config = loadConfig({ RATE_LIMIT_STIRCT: '1', MONGO_URI: 'x', JWT_SECRETS: 'x', WORKERS_: '2', LOG_LEVEl: 'info', HOME: '/', PORTS: '1', REDISTRIBUTE: 'x', JWT_SECRET_FILE: '', CACHE_TTL: '1' })
  t.same(new Map(config.nearMisses), new Map([['MONGO_URI', 'MONGODB_URI'], ['RATE_LIMIT_STIRCT', 'RATE_LIMIT_STRICT'], ['JWT_SECRETS', 'JWT_SECRET'], ['WORKERS_', 'WORKERS'], ['LOG_LEVEl', 'LOG_LEVEL']]))
})

t.test('SCORING_MODE=batch is accepted, means ring, and is told as such', async (t) => {
  t.match(loadConfig({ SCORING_MODE: 'batch' }), { scoringMode: 'ring', retiredValues: [['SCORING_MODE', 'batch', 'ring']] })
  for (const mode of ['', 'ring', 'inline']) t.same(loadConfig({ SCORING_MODE: mode }).retiredValues, [], mode)
})

t.test('secrets from files, and .env beneath the real environment', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'neko-config-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'key'), 'from a file\n')
  writeFileSync(join(directory, '.env'), 'REGION=from-dotenv\nPATH=/nowhere\n# a comment\nSENSITIVITY="3"\n')
  const FILE = join(directory, 'key')
  t.match(loadConfig({ JWT_SECRET_FILE: FILE, AUDIT_SIGNING_KEY_FILE: FILE, WEBHOOK_SECRET_FILE: FILE }), { jwtSecrets: ['from a file'], auditSigningKey: 'from a file', webhookSecret: 'from a file' })
  // A secret and its _FILE form are one setting: either of the real environment wins over either of .env.
  writeFileSync(join(directory, '.env'), `REGION=from-dotenv\nPATH=/nowhere\n# a comment\nSENSITIVITY="3"\nJWT_SECRET=beneath\nWEBHOOK_SECRET_FILE=${FILE}\n`)
  process.env.JWT_SECRET_FILE = FILE
  process.env.WEBHOOK_SECRET = 'real'
  t.teardown(() => { delete process.env.JWT_SECRET_FILE; delete process.env.WEBHOOK_SECRET })
  const env = readEnvironment(directory)
  t.match(loadConfig(env), { jwtSecrets: ['from a file'], webhookSecret: 'real' })
  t.match(env, { REGION: 'from-dotenv', SENSITIVITY: '3', PATH: process.env.PATH })
  t.equal(loadConfig(env).region, 'from-dotenv')
  t.equal(readEnvironment(join(directory, 'none')).REGION, process.env.REGION)
  t.throws(() => readEnvironment(FILE), /^\.env: cannot be read/)
  t.equal(environmentWith({ REGION: 'x' }).REGION, 'x')
})

t.test('a .env of any line ends is read, with or without a byte order mark; one that is no text is refused unread', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'neko-config-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const file = join(directory, '.env')
  for (const text of ['REGION=eu-1\n', '\ufeffREGION=eu-1\r\n', '# eu\r\n\r\nexport REGION="eu-1"', '\tREGION=\'eu-1\' # a comment\n']) {
    writeFileSync(file, text)
    t.equal(readEnvironment(directory).REGION, 'eu-1', JSON.stringify(text))
  }
  writeFileSync(file, '# REGION=eu-1\n\n')
  t.equal(readEnvironment(directory).REGION, process.env.REGION, 'all of it commented out')
  rmSync(file)
  symlinkSync('/dev/null', file)
  t.equal(readEnvironment(directory).REGION, process.env.REGION, 'no file, as containers say it')
  const secret = 'swordfish'
  const bad: Array<[problem: string, make: () => void]> = [
    ['is empty', () => { writeFileSync(file, '') }], ['is empty', () => { writeFileSync(file, '\ufeff') }], ['is empty', () => { writeFileSync(file, ' \r\n\n') }], ['is empty', () => { writeFileSync(file, '\n') }], ['is no UTF-8', () => { writeFileSync(file, Buffer.from('# caf\xe9\nREGION=eu-1\n', 'latin1')) }],
    ['is no text', () => { writeFileSync(file, Buffer.alloc(100)) }], ['is no text', () => { writeFileSync(file, `REGION=${secret}\0\0`) }], ['is no text', () => { writeFileSync(file, `REGION=${secret}\x1b[0m`) }],
    ['is UTF-16', () => { writeFileSync(file, Buffer.from(`\ufeffREGION=${secret}`, 'utf16le')) }], ['is UTF-16', () => { writeFileSync(file, Buffer.from(`\ufeffREGION=${secret}`, 'utf16le').swap16()) }],
    ['is no text', () => { writeFileSync(file, Buffer.from(`REGION=${secret}`, 'utf16le')) }], ['is no UTF-8', () => { writeFileSync(file, Buffer.from(`REGION=${secret}\xff`, 'latin1')) }],
    ['is no UTF-8', () => { writeFileSync(file, gzipSync(`REGION=${secret}`)) }], ['holds no line', () => { writeFileSync(file, `{ "REGION": "${secret}" }`) }], ['holds no line', () => { writeFileSync(file, `<a href="${secret}">\n`) }],
    ['ends its lines with CR alone', () => { writeFileSync(file, `REGION=eu-1\rJWT_SECRET=${secret}\r`) }],
    ['is larger', () => { writeFileSync(file, 'A=1\n'.repeat(300_000)) }], ['is no regular file', () => { mkdirSync(file) }], ['is no regular file', () => { execFileSync('mkfifo', [file]) }],
    ['is no regular file', () => { symlinkSync('/dev/zero', file) }], ['cannot be read', () => { symlinkSync('.env', file) }]
  ]
  for (const [problem, make] of bad) {
    rmSync(file, { recursive: true, force: true })
    make()
    try {
      readEnvironment(directory)
      t.fail(problem)
    } catch (error) {
      t.match(error, { name: 'ConfigError', variable: '.env' })
      t.match((error as Error).message, `.env: ${problem}`)
      t.notMatch((error as Error).message, secret)
    }
  }
  writeFileSync(join(directory, 'key'), Buffer.alloc(48))
  t.throws(() => loadConfig({ JWT_SECRET_FILE: join(directory, 'key') }), /JWT_SECRET_FILE: names an empty file/, 'nor is a key that never reached the disk')
})
