import underPressure from '@fastify/under-pressure'
import fp from 'fastify-plugin'

/**
 * Too busy: an event loop so late that a 503 now serves the caller better than an answer then.
 *
 * Owns: when that is. Never does: answer; the walk does. Utilization is no sign on purpose: a full loop that
 * answers in time does its work, and the plugin counts it from the start, which is all work. Why two looks: a
 * loop that was held once (a start that loads its code, a collection of memory) has no samples when it is
 * looked at, which the plugin reads as endless delay: the first callers of a fresh process got 503 for a
 * second.
 */
const LOOK_MS = 1_000
const LOOKS = 2
const DELAY_MS_MAX = 1_000

declare module 'fastify' {
  interface FastifyInstance {
    /** True while this process answers 503 rather than late. */
    isOverloaded (): boolean
  }
}

export default fp(async (app) => {
  await app.register(underPressure, {
    maxEventLoopDelay: DELAY_MS_MAX,
    sampleInterval: LOOK_MS,
    pressureHandler: () => {}
  })
  let looks = 0
  const timer = setInterval(() => { looks = app.isUnderPressure() ? looks + 1 : 0 }, LOOK_MS)
  timer.unref()
  app.decorate('isOverloaded', () => looks >= LOOKS)
  app.addHook('onClose', async () => clearInterval(timer))
}, { name: 'pressure' })
