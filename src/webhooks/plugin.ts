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
  // A copy of what was sealed lies elsewhere then: `neko audit verify --against` takes such a message.
  if (config.webhookCheckpoints) {
    app.audit.onCheckpoint((checkpoint) => webhooks.announce('audit.checkpoint', { ...checkpoint }))
  }
  app.addHook('onClose', () => webhooks.close())
}, { name: 'webhooks', dependencies: ['config', 'storage', 'clock', 'audit'] })
