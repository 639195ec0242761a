/**
 * Wiring of the clients' room: what every client did lately, as `app.clients`, in this process and, by deltas, in its
 * siblings.
 */
import fp from 'fastify-plugin'
import { createHistory, type History } from './history.ts'
import type { Clock } from '../std/clock.ts'
import type { Fleet } from '../fleet/port.ts'

declare module 'fastify' {
  interface FastifyInstance { clients: History }
}

/** Siblings learn what a client did here four times a second. */
const DELTA_INTERVAL_MS = 250
const DELTA_TOPIC = 'scoring.history'

export default fp(async (app) => {
  const history = createHistory({ clock: app.clock })
  const stopDeltas = shareHistory(history, app)
  app.decorate('clients', history)
  app.addHook('onClose', async () => stopDeltas())
}, { name: 'clients', dependencies: ['clock', 'fleet'] })

/** Publishes what happened here and takes in what happened elsewhere. Returns what ends it. */
function shareHistory (history: History, { fleet, clock }: { fleet: Fleet, clock: Clock }): () => void {
  const unsubscribe = fleet.subscribe(DELTA_TOPIC, (delta) => history.absorb(delta))
  const timer = clock.every(DELTA_INTERVAL_MS, () => {
    const delta = history.drainDelta()
    if (delta !== null && fleet.processCount() > 1) fleet.publish(DELTA_TOPIC, delta)
  })
  return () => {
    timer.cancel()
    unsubscribe()
  }
}
