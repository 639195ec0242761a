import fp from 'fastify-plugin'
import type { Json } from '../std/json.ts'
import { loadPlaybooks, readOverrides } from './override.ts'
import { violationSeconds } from './match.ts'
import { createPlaybooks, type Playbooks } from './playbooks.ts'
import { attackerName } from './shapes.ts'

declare module 'fastify' {
  interface FastifyInstance { playbooks: Playbooks }
}

/**
 * Hangs the room into the app as `app.playbooks`. Here playbooks get the hands of other rooms: decisions, limits,
 * receipts, incidents, webhooks.
 */
export default fp(async (app) => {
  const { config, storage, audit, fleet, clock, log, decisions, limits, receipts, incidents, webhooks, metrics } = app
  const inForce = await loadPlaybooks(config.dataDir)
  // The limiter answers the request that crosses a limit before any playbook can act on it.
  limits.lengthenBlocks(violationSeconds(inForce))
  const playbooks = createPlaybooks({
    playbooks: inForce,
    thresholds: { challenge: config.challengeThreshold, block: config.blockThreshold },
    storage,
    audit,
    fleet,
    clock,
    log,
    actions: {
      addDecision: (input, by) => decisions.addNow(input, by),
      hold: (client, ms) => limits.hold(client, ms),
      limitBlock: (tier, key, ms) => limits.block(tier, key, ms),
      watch (client, ms) {
        receipts.watch(client, ms)
        fleet.publish('playbooks.watch', [client, ms])
      },
      previewDecision: (input, address) => decisions.preview(input, address),
      mayNotify: () => webhooks.mayNotify(),
      notify: (notice) => webhooks.notify(notice)
    },
    incidents,
    requirePermission: (maker, attacker) => decisions.requirePermission(maker, attacker),
    findAssessment: (id) => receipts.get(id),
    refusalsOf: (client) => app.clients.refusals(client),
    async takeDecision (submitter) {
      const { allowed, store } = await limits.takeDecision(submitter)
      metrics.limitDecisionsTotal.inc({ tier: 'decision', result: allowed ? 'allowed' : 'refused', store })
      return allowed
    },
    onRun: (run) => metrics.playbookRunsTotal.inc({ playbook: run.playbook, result: run.result })
  })
  fleet.subscribe('playbooks.watch', (message) => receipts.watch(...message as [string, number]))
  decisions.onChanged(({ decision: { scope, value }, removed }) => {
    if (removed && scope !== 'SESSION') playbooks.forget(attackerName({ attacker: { scope, value } }))
  })
  if (fleet.slot === 0) {
    for (const { name, ...members } of await readOverrides(config.dataDir)) {
      audit.record({
        category: 'security',
        type: 'playbook.override',
        actor: 'system',
        target: name,
        outcome: 'ok',
        details: { playbook: name, members: members as unknown as Json }
      })
    }
  }
  app.decorate('playbooks', playbooks)
  app.addHook('onClose', () => playbooks.close())
}, {
  name: 'playbooks',
  dependencies: [
    'config', 'storage', 'audit', 'fleet', 'clock', 'metrics', 'decisions', 'limits', 'receipts', 'clients',
    'incidents', 'webhooks'
  ]
})
