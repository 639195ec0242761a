import type { FastifyInstance } from 'fastify'

/** The answer of readiness: degraded is still ready, with a body that tells what is missing. */
interface Health {
  status: 'ok' | 'degraded' | 'stopping'
  checks: Record<string, { up: boolean, detail?: string }>
  notes: string[]
}

/** From what each room knows of itself: nothing is asked and nothing waited for. */
export function health (app: FastifyInstance): Health {
  const storage = app.storage.health()
  const checks: Health['checks'] = {
    storage: { up: storage.up, ...(storage.reason === null ? {} : { detail: storage.reason }) },
    audit: { up: app.audit.healthy() },
    scoring: { up: app.threads.healthy() }
  }
  const redisUp = app.fleet.bridgeUp()
  if (redisUp !== null) checks.redis = { up: redisUp }
  const notes: string[] = []
  if (app.unnamedProxies.isSeen()) {
    notes.push(
      'X-Forwarded-For or Forwarded came from a peer that TRUST_PROXY does not name: its clients share its address'
    )
  }
  if (app.config.production && app.config.redisUrl === null) {
    notes.push('no REDIS_URL: limits, cache and broadcasts stay on this host')
  }
  const up = Object.values(checks).every((check) => check.up)
  const status = app.draining.aborted ? 'stopping' : up && !app.isOverloaded() ? 'ok' : 'degraded'
  return { status, checks, notes }
}
