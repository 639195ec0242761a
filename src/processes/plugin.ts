import fp from 'fastify-plugin'
import type { ControlVerbs } from './control.ts'
import type { ServerParts } from './serving.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Rooms answer verbs of the control socket: `app.control.handle('explain', (args, progress) => ...)`. */
    control: ControlVerbs
    /** Aborted when the drain begins: fall out of readiness, say goodbye to WebSockets (1001 or 1012). */
    draining: AbortSignal
    clusterStatus: ServerParts['clusterStatus']
  }
}

/** The process that the rooms run in: its control verbs, its drain, and the status of its siblings. */
export default fp<Pick<ServerParts, 'control' | 'draining' | 'clusterStatus'>>(async (app, parts) => {
  app.decorate('control', parts.control)
  app.decorate('draining', parts.draining)
  app.decorate('clusterStatus', parts.clusterStatus)
}, { name: 'processes' })
