import fp from 'fastify-plugin'
import { loadPlaybooks } from './override.ts'
import { createPlaybooks, type Playbooks } from './playbooks.ts'
import { createWebhooks } from './webhooks.ts'

declare module 'fastify' {
  interface FastifyInstance { playbooks: Playbooks }
}

export default fp(async (app) => {
  const { config, storage, audit, fleet, clock, log, decisions, limits, assessments, metrics } = app
  const webhooks = createWebhooks({ urls: config.webhookUrls, secret: config.webhookSecret, storage, clock, log })
  const playbooks = createPlaybooks({
    playbooks: loadPlaybooks(config.dataDir),
    blockThreshold: config.blockThreshold,
    storage,
    audit,
    fleet,
    clock,
    log,
    actions: {
      addDecision: (input, by) => decisions.addNow(input, by),
      hold: (client, ms) => limits.hold(client, ms),
      limitBlock: (tier, key, ms) => limits.block(tier, key, ms),
      watch: (client, ms) => assessments.watch(client, ms),
      notify: (notice) => webhooks.notify(notice)
    },
    findAssessment: (id) => assessments.get(id),
    onRun: (run) => metrics.playbookRunsTotal.inc({ playbook: run.playbook, result: run.result })
  })
  app.decorate('playbooks', playbooks)
  app.addHook('onClose', async () => {
    await playbooks.close()
    await webhooks.close()
  })
}, { name: 'playbooks', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'metrics', 'decisions', 'limits', 'assessments'] })
