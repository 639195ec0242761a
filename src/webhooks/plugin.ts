import fp from 'fastify-plugin'
import { createWebhooks, type Webhooks } from './webhooks.ts'

declare module 'fastify' {
  interface FastifyInstance { webhooks: Webhooks }
}

/** Hangs the room into the app as `app.webhooks`: it is told by incidents and playbooks. */
export default fp(async (app) => {
  const { config, storage, clock, log } = app
  const webhooks = createWebhooks({ urls: config.webhookUrls, secret: config.webhookSecret, storage, clock, log })
  app.decorate('webhooks', webhooks)
  app.addHook('onClose', () => webhooks.close())
}, { name: 'webhooks', dependencies: ['config', 'storage', 'clock'] })
