import fp from 'fastify-plugin'
import { BREAKER_STATE_VALUE } from '../std/breaker.ts'
import type { Fleet } from './port.ts'

declare module 'fastify' {
  interface FastifyInstance {
    fleet: Fleet
  }
}

/** As often as the primary tells of a change. */
const BRIDGE_POLL_MS = 500

/** The fleet for the rooms, and the state of Redis for neko_redis_up and neko_breaker_state. */
export default fp<{ fleet: Fleet }>(async (app, { fleet }) => {
  app.decorate('fleet', fleet)
  const showBridge = (): void => {
    const up = fleet.bridgeUp()
    app.metrics.redisUp.set(Number(up === true))
    if (up !== null) app.metrics.breakerState.set({ name: 'redis' }, BREAKER_STATE_VALUE[up ? 'closed' : 'open'])
  }
  showBridge()
  const timer = app.clock.every(BRIDGE_POLL_MS, showBridge)
  app.addHook('onClose', () => {
    timer.cancel()
    return fleet.close()
  })
}, { name: 'fleet', dependencies: ['clock', 'metrics'] })
