import { ConfigError, VARIABLES } from '../config/config.ts'
import type { Config } from '../config/config.ts'

/**
 * Settings that a reload leaves as they were (pure): the primary itself stands on them, so that they need a restart.
 */
const FIXED = [
  'host',
  'port',
  'metricsPort',
  'dataDir',
  'workers',
  'redisUrl',
  'mongodbUri',
  'mongodbDatabase'
] as const

/** The same, as they are called outside. */
const FIXED_VARIABLES = [
  'HOST',
  'PORT',
  'METRICS_PORT',
  'DATA_DIR',
  'WORKERS',
  'REDIS_URL',
  'REDIS_HOST',
  'REDIS_PORT',
  'MONGODB_URI',
  'MONGODB_DATABASE'
] as const

/** The configuration after a reload: `next`, but the fixed settings as they are now. */
export function keepFixed (current: Config, next: Config): Config {
  const kept = Object.fromEntries(FIXED.map((name) => [name, current[name]])) as Pick<Config, typeof FIXED[number]>
  const settings = {
    ...next.settings,
    ...Object.fromEntries(FIXED_VARIABLES.map((name) => [name, current.settings[name] ?? '']))
  }
  return { ...next, ...kept, settings }
}

/** Names of fixed settings that `next` would change. PORT=0 asks for the port there is. */
export function ignoredChanges (current: Config, next: Config): string[] {
  return FIXED.filter((name) => current[name] !== next[name] && !(name === 'port' && next.port === 0))
}

/**
 * What a server is and holds its data with: each may be given another value, and none may go missing by a reload. A
 * file that was cut, emptied or removed looks like one that asks for all defaults: with them every token would be
 * refused and every seal be another key's, and the workers would be well. Who means it restarts the server.
 * ADMIN_PASSWORD is none of them: it counts at the first start alone, and is better removed after it.
 */
const HELD: ReadonlyArray<readonly [variable: string, isGiven: (config: Config) => boolean]> = [
  ['NODE_ENV', ({ production }) => production],
  ['DATA_DIR', ({ settings }) => settings.DATA_DIR !== VARIABLES.DATA_DIR],
  ['MONGODB_URI', ({ mongodbUri }) => mongodbUri !== null],
  ['MONGODB_DATABASE', ({ settings }) => settings.MONGODB_DATABASE !== VARIABLES.MONGODB_DATABASE],
  ['REDIS_URL', ({ redisUrl }) => redisUrl !== null],
  ['JWT_SECRET', ({ jwtSecrets }) => jwtSecrets.length > 0],
  ['AUDIT_SIGNING_KEY', ({ auditSigningKey }) => auditSigningKey !== null],
  ['AUDIT_PSEUDONYM_KEY', ({ auditPseudonymKey }) => auditPseudonymKey !== null],
  ['WEBHOOK_SECRET', ({ webhookSecret }) => webhookSecret !== null]
]

/** @throws ConfigError naming all that `next` lacks and `current` has */
export function requireHeld (current: Config, next: Config): void {
  const lost = HELD.filter(([, isGiven]) => isGiven(current) && !isGiven(next)).map(([variable]) => variable)
  if (lost.length > 0) {
    throw new ConfigError(lost.join(', '), 'was set and is not any more: a restart takes it away, a reload does not')
  }
}
