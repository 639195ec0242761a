import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * The name of a file says its tier, and the tier says how it runs.
 *
 * - `unit` (`name.test.ts`): no process, no socket, and time that the test owns. Sockets and processes are refused there
 *   (`test/runner/unit-guard.ts`). One file more at once than there are processors: now and then one waits for a disk.
 * - `system` (`name.system.test.ts`): real servers, sockets, services, threads that die. Each file has servers, clients and
 *   a DATA_DIR of its own, so that three run at once.
 * - `timing` (`name.timing.test.ts`): what is judged by a time. Last, alone, and without coverage.
 * - `foreign` (`name.foreign.test.ts`): other people's programs against a server; `npm run test:clients` runs these alone.
 */
export const TIERS = ['unit', 'system', 'timing', 'foreign'] as const
export type Tier = typeof TIERS[number]

export const SLOTS: Readonly<Record<Tier, number>> = { unit: availableParallelism() + 1, system: 3, timing: 1, foreign: 1 }

export function tierOf (file: string): Tier {
  return TIERS.find((tier) => file.endsWith(`.${tier}.test.ts`)) ?? 'unit'
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

/** What keeps documents: what one store keeps the other must. On MongoDB these speak to a server, as the system tier. */
const ON_BOTH_STORES = [
  'test/audit/{trail-registry,pseudonyms,rotation,settings}.test.ts', 'test/decisions/{decisions,replicas}.test.ts',
  'test/identity/{authority,authority-model,fleet,keys,logins,lost-passwords,people,prepare,revocations,sessions}.test.ts',
  'test/intel/{actors,graphql}.test.ts', 'test/playbooks/{outcomes,playbooks}.test.ts',
  'test/receipts/{allowances,receipts}.test.ts'
]

/** What takes dates apart or writes them: these run again in zones whose days and half hours differ from UTC. */
const READS_DATES = ['test/audit/against.test.ts', 'test/intel/import.test.ts']
const ZONES = ['Pacific/Kiritimati', 'America/St_Johns']

/**
 * Where coverage is taken, beside the unit tier: it makes a start of a server half as dear again, and what these files
 * run and the unit tier are the lines that all of them run.
 */
const COVERED = [
  'test/{cache,decisions,fleet,identity,intel,receipts,std,storage,telemetry,transaction,transports,webhooks}/**/*.system.test.ts',
  'test/processes/{control,faults,output,owner-lock,processes,start}.system.test.ts',
  'test/e2e/{cli,users,walk}.system.test.ts', 'test/journal/{faults,secret-file}.system.test.ts'
]
/** Thousands of requests, texts and objects, of which a few run the lines, and others have run them: twice as dear. */
const UNCOVERED = [
  'test/transports/{graphql/many-documents,http/slow-attackers,websocket/hostile}.system.test.ts', 'test/receipts/reload.system.test.ts',
  'test/clients/{programs,sessions}.test.ts', 'test/decisions/standing.test.ts',
  'test/detect/{carriers-bodies,payload-fuzz,raw-scan,raw-scan-corpus}.test.ts', 'test/intel/real-files.test.ts'
]

/** Files that take longest begin first, so that none of them is left running alone at the end. */
const LONGEST = [
  'test/journal/store-away.system.test.ts', 'test/transports/http/slow-attackers.system.test.ts',
  'test/config/bad-configuration.system.test.ts', 'test/e2e/cli.system.test.ts', 'test/processes/cold-disk.system.test.ts',
  'test/storage/mongo.system.test.ts', 'test/processes/lost-files.system.test.ts', 'test/receipts/reload.system.test.ts'
]

/** Every file, those of other people's programs excepted, in the order in which they run. */
export function listJobs (): Job[] {
  return filesOf('test/**/*.test.ts').map(jobOf).filter(({ tier }) => tier !== 'foreign')
}

export function jobOf (file: string): Job {
  return { file, tier: tierOf(file), timeoutMs: TIMEOUT_MS }
}

export function coveredFiles (): Set<string> {
  const left = new Set(filesOf(UNCOVERED))
  return new Set([...filesOf('test/**/*.test.ts').filter((file) => tierOf(file) === 'unit'), ...filesOf(COVERED)].filter((file) => !left.has(file)))
}

export function mongoJobs (uri: string): Job[] {
  const env = { NEKO_TEST_STORE: 'mongodb', MONGODB_TEST_URL: uri }
  return filesOf(ON_BOTH_STORES).map((file) => ({ ...jobOf(file), tier: 'system' as const, variant: 'on MongoDB', env }))
}

export function zoneJobs (): Job[] {
  return ZONES.flatMap((zone) => filesOf(READS_DATES).map((file) => ({ ...jobOf(file), variant: zone, env: { TZ: zone } })))
}

/** The long rows: those of test/nightly, and every file whose counts are larger there (test/scale.ts). One by one. */
export function nightlyJobs (): Job[] {
  const scaled = filesOf('test/**/*.test.ts').filter((file) => /from '[./]*\/scale\.ts'/.test(readFileSync(file, 'utf8')))
  return [...filesOf('test/nightly/*.ts'), ...scaled].map((file) => ({ file, tier: 'timing', timeoutMs: NIGHTLY_TIMEOUT_MS, env: { NEKO_TEST_SCALE: 'nightly' } }))
}

export function foreignJobs (): Job[] {
  return filesOf('test/**/*.foreign.test.ts').map(jobOf)
}

function filesOf (pattern: string | string[]): string[] {
  const rank = (file: string): number => LONGEST.includes(file) ? LONGEST.indexOf(file) : LONGEST.length
  return globSync(pattern).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}
