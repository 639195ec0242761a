import type { Test } from 'tap'
import { asAdmin, bearer, createTestClient, dataOf, makeKey, PASSWORD, productionEnv, type TestClient } from '../e2e/client.ts'
import { startServer, type StartedServer } from '../server.ts'
import { autocannonCommand, curlLoop, exporter, importer, isInstalled, poller, pythonLoop, type Came, type Script } from './program-scripts.ts'

/**
 * Whoever is allowed N requests gets N: boring programs, all at once, an address each, each with a key or a user of its
 * own whose whole tier it uses; and pollers without a credential that use theirs.
 */
const SCRIPTS: Array<{ name: string, script: Script, needs: string | null }> = [
  { name: 'curl', script: curlLoop, needs: 'curl' },
  { name: 'autocannon', script: autocannonCommand, needs: null },
  { name: 'python', script: pythonLoop, needs: 'python3' },
  { name: 'exporter', script: exporter, needs: null },
  { name: 'importer', script: importer, needs: null }
]
const TIERS = { key: 1000, user: 500, nobody: 100 }
/** Pages of two: more than a minute's worth of them. */
const ACTORS = 2_400

export interface Minutes {
  /** How often each spends its whole tier. */
  times: number
  /** How long each takes for it. */
  spanMs: number
  processes: number
}

const ANONYMOUS: Program[] = [
  { name: 'poller', script: poller, tier: 'nobody', credential: null },
  { name: 'autocannon', script: autocannonCommand, tier: 'nobody', credential: null }
]

interface Program { name: string, script: Script, tier: keyof typeof TIERS, credential: string | null }

export async function checkPrograms (t: Test, { times, spanMs, processes }: Minutes): Promise<void> {
  const { server, client, admin } = await start(t, processes)
  const programs = [...await signedIn(t, client, admin), ...ANONYMOUS]
  const startedMs = performance.now()
  const all = await Promise.all(programs.map(async (program, i) => ({
    program,
    came: await program.script({
      url: server.url,
      credential: program.credential,
      address: `192.0.2.${i + 1}`,
      tier: TIERS[program.tier],
      times,
      spanMs
    })
  })))
  t.comment(`${all.length} programs in ${Math.round((performance.now() - startedMs) / 1000)} s`)
  for (const { program, came } of all) checkCame(t, program, came, times)
  await checkNothingHeld(t, server, admin)
}

async function start (t: Test, processes: number): Promise<{ server: StartedServer, client: TestClient, admin: TestClient }> {
  const env = { ...productionEnv(), TRUST_PROXY: '127.0.0.0/8', LOG_LEVEL: 'warn', NODE_V8_COVERAGE: '', WORKERS: String(processes) }
  const server = await startServer(t, { env })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const objects = Array.from({ length: ACTORS }, (_, i) => ({
    type: 'intrusion-set',
    spec_version: '2.1',
    id: `intrusion-set--00000000-0000-4000-8000-${String(i + 1).padStart(12, '0')}`,
    created: '2026-01-01T00:00:00Z',
    modified: '2026-01-01T00:00:00Z',
    name: `Actor ${i + 1} of the row`
  }))
  const body = JSON.stringify({ type: 'bundle', id: 'bundle--00000000-0000-4000-8000-000000000000', objects })
  const imported = await admin.ask('/v1/intel/import?format=stix', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  t.equal(imported.status, 200, imported.text.slice(0, 300))
  return { server, client, admin }
}

/** Each script twice: with a key, and as a user. */
async function signedIn (t: Test, client: TestClient, admin: TestClient): Promise<Program[]> {
  const programs: Program[] = []
  for (const [i, { name, script, needs }] of SCRIPTS.entries()) {
    if (needs !== null && !isInstalled(needs)) { t.comment(`${needs} is not installed`); continue }
    const { key } = await makeKey(admin, name === 'importer' ? ['read', 'decide'] : ['read'])
    programs.push({ name, script, tier: 'key', credential: `x-api-key: ${key}` })
    const role = name === 'importer' ? 'ANALYST' : 'VIEWER'
    await dataOf(admin.graphql(`mutation { createUser(username: "${name}", password: "${PASSWORD}", role: ${role}) { id } }`))
    const { accessToken } = await client.as({ 'x-forwarded-for': `192.0.2.${200 + i}` }).login(name, PASSWORD)
    programs.push({ name, script, tier: 'user', credential: `authorization: ${bearer(accessToken)['authorization']!}` })
  }
  return programs
}

function checkCame (t: Test, { name, tier }: Program, { statuses, limits, wrong }: Came, times: number): void {
  t.same(statuses, { 200: TIERS[tier] * times }, `${name} with ${tier}: every request of its tier is answered`)
  t.same(limits.filter((limit) => limit !== String(TIERS[tier])), [], 'at the limit of its tier')
  t.equal(wrong, null, 'with data')
}

async function checkNothingHeld (t: Test, server: StartedServer, admin: TestClient): Promise<void> {
  const metrics = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  const flagged = metrics.split('\n').filter((line) => /^neko_assessments_total\{.*action="(?:CHALLENGE|BLOCK)"/.test(line) && !line.endsWith(' 0'))
  t.same(flagged, [], '0 challenged, 0 refused')
  const { incidents } = await dataOf<{ incidents: { totalCount: number } }>(admin.graphql('{ incidents { totalCount } }'))
  t.equal(incidents.totalCount, 0, 'nothing for a person to look at')
}
