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
