import fp from 'fastify-plugin'
import type { ControlVerbs } from './control.ts'
import type { Fleet } from './fleet.ts'
import type { ServerParts } from './serving.ts'

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

/** What a process knows of its fleet, for the rooms. */
export default fp<Pick<ServerParts, 'fleet' | 'control' | 'draining' | 'clusterStatus'>>(async (app, parts) => {
  app.decorate('fleet', parts.fleet)
  app.decorate('control', parts.control)
  app.decorate('draining', parts.draining)
  app.decorate('clusterStatus', parts.clusterStatus)
  app.addHook('onClose', () => parts.fleet.close())
}, { name: 'fleet' })
