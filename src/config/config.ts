import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { readEnvFile } from './env-file.ts'
import {
  ConfigError,
  adminPassword,
  cidrs,
  decoys,
  duration,
  list,
  mongoUri,
  number,
  oneOf,
  origin,
  pattern,
  rate,
  redisFromHost,
  redisUrl,
  signingKey,
  strongKey,
  strongKeys,
  trustedProxies,
  webhookUrls
} from './values.ts'
import { words } from '../std/words.ts'
import type { Environment, Rate } from './values.ts'

/**
 * The environment, read once, converted and checked, then frozen. The only reader of process.env.
 *
 * A bad value throws ConfigError, which names the variable and never its value: main turns it into one JSON line and
 * exit 78 (EX_CONFIG of sysexits). NODE_ENV=production tightens defaults here and nowhere else.
 */
export { ConfigError } from './values.ts'
export type { Rate } from './values.ts'
export type ScoringMode = 'ring' | 'inline'

export interface Config {
  readonly production: boolean
  readonly host: string
  readonly port: number
  /** 0 picks a free one (tests). */
  readonly metricsPort: number
  readonly dataDir: string
  /** CIDRs whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[]
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  readonly workers: number
  readonly scoringThreads: number
  readonly scoringMode: ScoringMode
  readonly sensitivity: 1 | 2 | 3 | 4
  readonly mongodbUri: string | null
  readonly mongodbDatabase: string
  readonly redisUrl: string | null
  /** Another Redis for the named caches than the fleet's. */
  readonly cacheRedisUrl: string | null
  /** The first signs; null outside production until identity generates one under DATA_DIR. */
  readonly jwtSecrets: readonly string[]
  readonly jwtExpirationSeconds: number
  readonly corsOrigins: readonly string[]
  readonly adminUsername: string
  readonly adminPassword: string | null
  /** One key or several, separated by commas: the first signs, all verify. */
  readonly auditSigningKey: string | null
  /** Replaces addresses in the audit trail by keyed stand-ins; null leaves them. */
  readonly auditPseudonymKey: string | null
  readonly auditRetentionDays: number
  /** For the log of each process, and of all dead ones together. */
  readonly auditRetentionBytes: number
  readonly rates: Readonly<Record<'strict' | 'standard' | 'relaxed' | 'service', Rate>>
  readonly cacheTtlSeconds: {
    readonly standard: number,
    readonly short: number,
    readonly medium: number,
    readonly long: number
  }
  readonly enforcement: 'enforce' | 'shadow'
  readonly challengeThreshold: number
  readonly blockThreshold: number
  /** CIDRs that never get a standing block. */
  readonly neverBlock: readonly string[]
  /** True when NEVER_BLOCK was not set: then its loopback does not cover an untrusted proxy's peer address. */
  readonly neverBlockIsDefault: boolean
  readonly exposeScore: boolean
  /** Operations that one POST may carry as an array; 0 refuses arrays. */
  readonly graphqlBatchMax: number
  readonly assessmentRetentionDays: number
  /** Of resolved incidents, since their last change. */
  readonly incidentRetentionDays: number
  /** Routes that only scanners ask for; touching one is a honeypot capture. */
  readonly decoyPaths: readonly string[]
  readonly webhookUrls: readonly string[]
  readonly webhookSecret: string | null
  /** Checkpoints of the audit trail go to webhookUrls too. */
  readonly webhookCheckpoints: boolean
  readonly workerMaxRssBytes: number | null
  readonly region: string | null
  readonly shutdownTimeoutMs: number
  /**
   * Each variable's text in force, as the audit trail compares it with the last start; those of SECRETS are
   * secret here too.
   */
  readonly settings: Readonly<Record<string, string>>
  /** Values that are still accepted and mean another one: `[variable, given, meant]`. */
  readonly retiredValues: ReadonlyArray<readonly [string, string, string]>
  /** Variables that look like ours but are not: `[given, meant]`. */
  readonly nearMisses: ReadonlyArray<readonly [string, string]>
}

/** Every variable NEKO reads, with its default as `.env.example` shows it ('' = unset). */
export const VARIABLES: Readonly<Record<string, string>> = {
  NODE_ENV: 'development',
  HOST: '127.0.0.1',
  PORT: '4000',
  METRICS_PORT: '9464',
  DATA_DIR: '.neko',
  TRUST_PROXY: '',
  LOG_LEVEL: 'info',
  WORKERS: 'auto',
  SCORING_THREADS: '1',
  SCORING_MODE: 'ring',
  SENSITIVITY: '2',
  MONGODB_URI: '',
  MONGODB_DATABASE: 'neko-defense-system',
  REDIS_URL: '',
  REDIS_HOST: '',
  REDIS_PORT: '',
  CACHE_REDIS_URL: '',
  JWT_SECRET: '',
  JWT_EXPIRATION: '15m',
  CORS_ORIGIN: '',
  ADMIN_USERNAME: 'admin',
  ADMIN_PASSWORD: '',
  AUDIT_SIGNING_KEY: '',
  AUDIT_PSEUDONYM_KEY: '',
  AUDIT_RETENTION_DAYS: '365',
  AUDIT_RETENTION_MB: '10240',
  RATE_LIMIT_TTL: '60',
  RATE_LIMIT_MAX: '1000',
  RATE_LIMIT_STRICT: '10/60/300',
  RATE_LIMIT_STANDARD: '100/60/60',
  RATE_LIMIT_RELAXED: '500/60/0',
  CACHE_TTL: '300',
  CACHE_TTL_SHORT: '60',
  CACHE_TTL_MEDIUM: '300',
  CACHE_TTL_LONG: '600',
  ENFORCEMENT: 'enforce',
  CHALLENGE_THRESHOLD: '40',
  BLOCK_THRESHOLD: '75',
  NEVER_BLOCK: '127.0.0.0/8,::1/128',
  EXPOSE_SCORE: 'false',
  GRAPHQL_BATCH_MAX: '0',
  ASSESSMENT_RETENTION_DAYS: '30',
  INCIDENT_RETENTION_DAYS: '365',
  DECOY_PATHS: words(`
    /.env /.env.production /.git/config /.git/HEAD /.svn/entries /.aws/credentials /.ssh/id_rsa /wp-login.php
    /wp-admin/ /wp-config.php.bak /phpmyadmin/ /administrator/ /admin.php /backup.zip /backup.tar.gz /backup.sql
    /dump.sql /server-status /actuator/env /console/
  `).join(','),
  WEBHOOK_URLS: '',
  WEBHOOK_SECRET: '',
  WEBHOOK_CHECKPOINTS: 'true',
  WORKER_MAX_RSS_MB: '',
  REGION: '',
  SHUTDOWN_TIMEOUT_MS: '25000'
}

/** Secrets, each also readable from a file named by `NAME_FILE` (Docker and Kubernetes secrets). */
export const SECRETS = [
  'MONGODB_URI',
  'REDIS_URL',
  'CACHE_REDIS_URL',
  'JWT_SECRET',
  'ADMIN_PASSWORD',
  'AUDIT_SIGNING_KEY',
  'AUDIT_PSEUDONYM_KEY',
  'WEBHOOK_SECRET'
] as const

/**
 * process.env over `.env` of the working directory; a secret and its `_FILE` form are one setting there, so that either
 * form in the real environment wins over both of the file.
 * @throws ConfigError when `.env` is there and cannot be read as what it should be.
 */
export function readEnvironment (directory = process.cwd()): Environment {
  const fromFile = readEnvFile(resolve(directory, '.env'))
  for (const name of SECRETS) {
    const forms = [name, `${name}_FILE`]
    if (forms.some((form) => (process.env[form] ?? '') !== '')) for (const form of forms) delete fromFile[form]
  }
  return { ...fromFile, ...process.env }
}

/** The environment of a process that this one starts: its own, with changes. */
export function environmentWith (changes: Record<string, string>): Environment {
  return { ...process.env, ...changes }
}

/**
 * Lets threads and forked processes share the compiled code that this process keeps: without it each compiles
 * its first file before it could say so itself, for which Node loads its TypeScript compiler (100 ms of CPU).
 */
export function shareCompiledCode (directory: string | undefined): void {
  if (directory !== undefined) process.env.NODE_COMPILE_CACHE ??= directory
}

/**
 * The environment, checked and converted.
 * @throws ConfigError naming the first variable that is wrong.
 */
export function loadConfig (given: Environment): Config {
  const env = withSecretFiles(given)
  const text = (name: string): string =>
    env[name] === undefined || env[name] === '' ? (VARIABLES[name] as string) : env[name].trim()
  const optional = (name: string): string | null => text(name) === '' ? null : text(name)

  const nodeEnv = oneOf('NODE_ENV', text('NODE_ENV'), ['production', 'development', 'test'] as const)
  const production = nodeEnv === 'production'
  const challengeThreshold = number('CHALLENGE_THRESHOLD', text('CHALLENGE_THRESHOLD'), 1, 100)
  const blockThreshold = number('BLOCK_THRESHOLD', text('BLOCK_THRESHOLD'), 1, 100)
  if (challengeThreshold > blockThreshold) {
    throw new ConfigError('CHALLENGE_THRESHOLD', 'must not be above BLOCK_THRESHOLD')
  }
  // `batch` sent observations by message: six times the cost of the ring when one is under way, never less.
  const mode = oneOf('SCORING_MODE', text('SCORING_MODE'), ['ring', 'batch', 'inline'] as const)
  const scoringMode = mode === 'batch' ? 'ring' : mode
  const corsOrigin = text('CORS_ORIGIN')
  const port = number('PORT', text('PORT'), 0, 65535)
  const metricsPort = number('METRICS_PORT', text('METRICS_PORT'), 0, 65535)
  if (port !== 0 && port === metricsPort) throw new ConfigError('METRICS_PORT', 'must be another port than PORT')

  const config: Config = {
    production,
    host: pattern('HOST', text('HOST'), /^[A-Za-z0-9._:%-]{1,253}$/, 'must be an address or a name of this machine'),
    port,
    metricsPort,
    dataDir: resolve(text('DATA_DIR')),
    trustProxy: trustedProxies(text('TRUST_PROXY')),
    logLevel: oneOf(
      'LOG_LEVEL',
      text('LOG_LEVEL'),
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
    ),
    workers: text('WORKERS') === 'auto' ? cpuQuota() : number('WORKERS', text('WORKERS'), 1, 256, 'auto'),
    scoringThreads: number('SCORING_THREADS', text('SCORING_THREADS'), 1, 64),
    scoringMode,
    sensitivity: number('SENSITIVITY', text('SENSITIVITY'), 1, 4) as 1 | 2 | 3 | 4,
    mongodbUri: mongoUri(optional('MONGODB_URI'), production),
    mongodbDatabase: pattern(
      'MONGODB_DATABASE',
      text('MONGODB_DATABASE'),
      /^[A-Za-z0-9_-]{1,38}$/,
      'must be 1-38 of A-Z a-z 0-9 _ -'
    ),
    redisUrl: redisUrl('REDIS_URL', optional('REDIS_URL')) ?? redisFromHost(env),
    cacheRedisUrl: redisUrl('CACHE_REDIS_URL', optional('CACHE_REDIS_URL')),
    jwtSecrets: strongKeys('JWT_SECRET', list(text('JWT_SECRET')), production),
    jwtExpirationSeconds: duration('JWT_EXPIRATION', text('JWT_EXPIRATION')),
    corsOrigins: corsOrigin === ''
      ? (production ? [] : ['http://localhost:3000'])
      : list(corsOrigin).map((url) => origin('CORS_ORIGIN', url)),
    adminUsername: pattern(
      'ADMIN_USERNAME',
      text('ADMIN_USERNAME'),
      /^[A-Za-z0-9._@-]{1,64}$/,
      'must be 1-64 of A-Z a-z 0-9 . _ @ -'
    ),
    adminPassword: adminPassword(optional('ADMIN_PASSWORD')),
    auditSigningKey: signingKey(optional('AUDIT_SIGNING_KEY'), production),
    auditPseudonymKey: strongKey('AUDIT_PSEUDONYM_KEY', optional('AUDIT_PSEUDONYM_KEY'), production),
    auditRetentionDays: number('AUDIT_RETENTION_DAYS', text('AUDIT_RETENTION_DAYS'), 1, 36_500),
    auditRetentionBytes: number('AUDIT_RETENTION_MB', text('AUDIT_RETENTION_MB'), 64, 10_485_760) * 1_048_576,
    rates: ratesOf(text),
    cacheTtlSeconds: cacheTtlsOf(text),
    enforcement: oneOf('ENFORCEMENT', text('ENFORCEMENT'), ['enforce', 'shadow'] as const),
    challengeThreshold,
    blockThreshold,
    neverBlock: cidrs('NEVER_BLOCK', text('NEVER_BLOCK')),
    neverBlockIsDefault: env.NEVER_BLOCK === undefined || env.NEVER_BLOCK === '',
    graphqlBatchMax: number('GRAPHQL_BATCH_MAX', text('GRAPHQL_BATCH_MAX'), 0, 10),
    exposeScore: oneOf('EXPOSE_SCORE', text('EXPOSE_SCORE'), ['false', 'true'] as const) === 'true',
    assessmentRetentionDays: number('ASSESSMENT_RETENTION_DAYS', text('ASSESSMENT_RETENTION_DAYS'), 1, 3650),
    incidentRetentionDays: number('INCIDENT_RETENTION_DAYS', text('INCIDENT_RETENTION_DAYS'), 1, 3650),
    decoyPaths: decoys(text('DECOY_PATHS')),
    webhookUrls: webhookUrls(text('WEBHOOK_URLS'), optional('WEBHOOK_SECRET')),
    webhookCheckpoints:
      oneOf('WEBHOOK_CHECKPOINTS', text('WEBHOOK_CHECKPOINTS'), ['true', 'false'] as const) === 'true',
    webhookSecret: strongKey('WEBHOOK_SECRET', optional('WEBHOOK_SECRET'), production),
    workerMaxRssBytes: optional('WORKER_MAX_RSS_MB') === null
      ? null
      : number('WORKER_MAX_RSS_MB', text('WORKER_MAX_RSS_MB'), 64, 1_048_576) * 1_048_576,
    region: optional('REGION') === null
      ? null
      : pattern('REGION', text('REGION'), /^[\w.:/ -]{1,64}$/, 'must be 1-64 letters, digits or . : / _ -'),
    shutdownTimeoutMs: number('SHUTDOWN_TIMEOUT_MS', text('SHUTDOWN_TIMEOUT_MS'), 1000, 600_000),
    settings: Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, text(name)])),
    retiredValues: mode === scoringMode ? [] : [['SCORING_MODE', mode, scoringMode]],
    nearMisses: nearMisses(given)
  }
  return deepFreeze(config)
}

function ratesOf (text: (name: string) => string): Config['rates'] {
  return {
    strict: rate('RATE_LIMIT_STRICT', text('RATE_LIMIT_STRICT')),
    standard: rate('RATE_LIMIT_STANDARD', text('RATE_LIMIT_STANDARD')),
    relaxed: rate('RATE_LIMIT_RELAXED', text('RATE_LIMIT_RELAXED')),
    service: {
      max: number('RATE_LIMIT_MAX', text('RATE_LIMIT_MAX'), 1, 10_000_000),
      windowSeconds: number('RATE_LIMIT_TTL', text('RATE_LIMIT_TTL'), 1, 86_400),
      blockSeconds: 0
    }
  }
}

function cacheTtlsOf (text: (name: string) => string): Config['cacheTtlSeconds'] {
  const [standard, short, medium, long] = [
    'CACHE_TTL',
    'CACHE_TTL_SHORT',
    'CACHE_TTL_MEDIUM',
    'CACHE_TTL_LONG'
  ].map((name) => number(name, text(name), 0, 86_400)) as [number, number, number, number]
  return { standard, short, medium, long }
}

function withSecretFiles (given: Environment): Environment {
  const env = { ...given }
  for (const name of SECRETS) {
    const file = env[`${name}_FILE`]
    if (file === undefined || file === '') continue
    if (env[name] !== undefined && env[name] !== '') {
      throw new ConfigError(`${name}_FILE`, `stands beside ${name}: set one of them`)
    }
    try {
      env[name] = readFileSync(file, 'utf8').trim()
      // Bytes that never reached the disk read as NULs.
      if (/^\0*$/.test(env[name])) env[name] = ''
    } catch {
      throw new ConfigError(`${name}_FILE`, 'names a file that cannot be read')
    }
    if (env[name] === '') throw new ConfigError(`${name}_FILE`, 'names an empty file')
  }
  return env
}

/** CPUs of the quota: cgroup v2 `cpu.max`, because below one CPU availableParallelism() reports the host's cores. */
function cpuQuota (): number {
  const available = availableParallelism()
  try {
    const [quota, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'utf8').trim().split(' ')
    if (quota !== 'max' && Number(period) > 0) {
      return Math.max(1, Math.min(available, Math.floor(Number(quota) / Number(period))))
    }
  } catch { /* no cgroup v2 here: the scheduler's answer stands */ }
  return available
}

/**
 * Unknown variables within two edits of one of ours, of those with an underscore or six letters (short names
 * meet by chance).
 */
function nearMisses (env: Environment): Array<[string, string]> {
  const known = Object.keys(VARIABLES)
  const misses: Array<[string, string]> = []
  for (const name of Object.keys(env)) {
    const bare = name.replace(/_FILE$/, '')
    if (
      known.includes(name) || (SECRETS as readonly string[]).includes(bare) || name.length < 6 ||
      name.length > 40
    ) {
      continue
    }
    const meant = known.find((candidate) =>
      candidate.length >= 6 && editDistance(name.toUpperCase(), candidate) <= (candidate.length < 9 ? 1 : 2)
    )
    if (meant !== undefined && misses.length < 20) misses.push([name, meant])
  }
  return misses
}

function editDistance (a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    previous = row
  }
  return previous[b.length]!
}

function deepFreeze<T> (value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
