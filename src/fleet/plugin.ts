import fp from 'fastify-plugin'
import { BREAKER_STATE_VALUE } from '../std/breaker.ts'
import type { ControlVerbs } from '../processes/control.ts'
import type { Fleet } from './port.ts'
import type { ServerParts } from '../processes/serving.ts'

declare module 'fastify' {
  interface FastifyInstance {
    fleet: Fleet
    /** Rooms answer verbs of the control socket: `app.control.handle('explain', (args, progress) => ...)`. */
    control: ControlVerbs
    /** Aborted when the drain begins: fall out of readiness, say goodbye to WebSockets (1001 or 1012). */
    draining: AbortSignal
    clusterStatus: ServerParts['clusterStatus']
  }
}

/** As often as the primary tells of a change. */
const BRIDGE_POLL_MS = 500

/** What a process knows of its fleet, for the rooms, and of Redis for neko_redis_up and neko_breaker_state. */
export default fp<Pick<ServerParts, 'fleet' | 'control' | 'draining' | 'clusterStatus'>>(async (app, parts) => {
  app.decorate('fleet', parts.fleet)
  app.decorate('control', parts.control)
  app.decorate('draining', parts.draining)
  app.decorate('clusterStatus', parts.clusterStatus)
  const showBridge = (): void => {
    const up = parts.fleet.bridgeUp()
    app.metrics.redisUp.set(Number(up === true))
    if (up !== null) app.metrics.breakerState.set({ name: 'redis' }, BREAKER_STATE_VALUE[up ? 'closed' : 'open'])
  }
  showBridge()
  const timer = setInterval(showBridge, BRIDGE_POLL_MS).unref()
  app.addHook('onClose', () => {
    clearInterval(timer)
    return parts.fleet.close()
  })
}, { name: 'fleet', dependencies: ['metrics'] })
