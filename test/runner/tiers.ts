import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * The name of a file says its tier, and the tier says how it runs.
 *
 * - `unit` (`name.test.ts`): no process, no socket, and time that the test owns. Sockets and processes are refused there
 *   (`test/runner/unit-guard.ts`). As many files at once as there are processors.
 * - `system` (`name.system.test.ts`): real servers, sockets, services, threads that die. Each file has servers, clients and
 *   a DATA_DIR of its own, so that three run at once.
 * - `timing` (`name.timing.test.ts`): what is judged by a time. Last, alone, and without coverage.
 */
export const TIERS = ['unit', 'system', 'timing'] as const
export type Tier = typeof TIERS[number]

export const SLOTS: Readonly<Record<Tier, number>> = { unit: availableParallelism(), system: 3, timing: 1 }

export function tierOf (file: string): Tier {
  if (file.endsWith('.timing.test.ts')) return 'timing'
  return file.endsWith('.system.test.ts') ? 'system' : 'unit'
}

/** One run of one file. */
export interface Job {
  file: string
  tier: Tier
  /** What is special about this run (`on MongoDB`, a time zone), or nothing. */
  variant?: string
  env?: Record<string, string>
  /** The whole file; after this it is ended. */
  timeoutMs: number
}

const TIMEOUT_MS = 200_000
const NIGHTLY_TIMEOUT_MS = 1_200_000

/** Rooms that keep documents: their tests run on both stores. */
const ON_BOTH_STORES = [
  'test/audit/{trail-registry,pseudonyms,rotation,settings}.*test.ts', 'test/identity/*.test.ts', 'test/intel/*.test.ts',
  'test/receipts/*.test.ts', 'test/decisions/*.test.ts', 'test/playbooks/*.test.ts'
]

/** What takes dates apart or writes them: these run again in zones whose days and half hours differ from UTC. */
const READS_DATES = ['test/intel/{facts,import,real-files}.test.ts', 'test/storage/sqlite.test.ts']
const ZONES = ['Pacific/Kiritimati', 'America/St_Johns']

/** Files that take longest begin first, so that none of them is left running alone at the end. */
const LONGEST: readonly string[] = []

export function listJobs (): Job[] {
  const rank = (file: string): number => LONGEST.includes(file) ? LONGEST.indexOf(file) : LONGEST.length
  return globSync('test/**/*.test.ts').sort().map(jobOf).sort((a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier) || rank(a.file) - rank(b.file))
}

export function jobOf (file: string): Job {
  return { file, tier: tierOf(file), timeoutMs: TIMEOUT_MS }
}

export function mongoJobs (uri: string): Job[] {
  const env = { NEKO_TEST_STORE: 'mongodb', MONGODB_TEST_URL: uri }
  return globSync(ON_BOTH_STORES).sort().map(jobOf).filter(({ tier }) => tier !== 'timing').map((job) => ({ ...job, variant: 'on MongoDB', env }))
}

export function zoneJobs (): Job[] {
  return ZONES.flatMap((zone) => globSync(READS_DATES).sort().map((file) => ({ ...jobOf(file), variant: zone, env: { TZ: zone } })))
}

/** The long rows: one file behind the other, as each wants the machine. */
export function nightlyJobs (): Job[] {
  return globSync('test/nightly/*.ts').sort().map((file) => ({ file, tier: 'timing', timeoutMs: NIGHTLY_TIMEOUT_MS }))
}
