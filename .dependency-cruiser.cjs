'use strict'

/**
 * Who may import whom. Between rooms only `shapes.ts` is imported for its value: behaviour is reached through the
 * application (`app.<room>`), which the owner's plugin declares. Types may come from anywhere.
 */
const ROOMS = 'audit|identity|intel|detect|clients|threads|decisions|receipts|incidents|webhooks|playbooks|marketplace'
const PLATFORM = 'std|telemetry|storage|journal|limits|cache'
const PURE = '^src/(detect/(score|policy|tolerance|request-view|evidence|hash)\\.ts|detect/(factors|payload|signs)/|decisions/(verdict|escalation|standing)\\.ts|playbooks/match\\.ts|identity/access\\.ts|intel/match\\.ts|processes/restart\\.ts)'
// Values only: `import type` leaves nothing behind at run time.
const values = { dependencyTypesNot: ['type-only'] }

/** Room to rooms below it whose shapes it may use for their value. */
const BELOW = {
  audit: '',
  identity: 'audit',
  intel: 'audit',
  scoring: 'audit',
  decisions: 'audit|identity|intel|scoring',
  assessments: 'audit|identity|intel|scoring|decisions',
  playbooks: 'audit|identity|intel|scoring|decisions|assessments'
}

module.exports = {
  forbidden: [
    { name: 'no-cycles', comment: 'A cycle means that two files are one, or that a port is missing.', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    { name: 'no-dead-files', comment: 'What nobody imports is deleted; entries are named here.', severity: 'error', from: { orphan: true, pathNot: '^(test|bench)/|\\.d\\.ts$|^src/(main|cli)\\.ts$' }, to: {} },
    { name: 'not-to-unresolvable', comment: 'An import that cannot be found fails at run time, on somebody else\'s machine.', severity: 'error', from: {}, to: { couldNotResolve: true } },
    { name: 'no-dev-dependencies', comment: 'The image is installed without them. GraphiQL alone is looked up at run time, outside production.', severity: 'error', from: { path: '^(src|workers)/' }, to: { dependencyTypes: ['npm-dev'], ...values } },
    { name: 'nobody-imports-the-top', comment: 'main, app, cli and prepare are the top: they wire, nobody builds on them.', severity: 'error', from: { path: '^(src|workers)/', pathNot: '^src/(main|app|cli|prepare)\\.ts$' }, to: { path: '^src/(main|app|cli|prepare)\\.ts$', ...values } },
    { name: 'std-knows-nothing', comment: 'std is for everyone, so it stands on nothing of ours.', severity: 'error', from: { path: '^src/std/' }, to: { path: '^(src|workers)/', pathNot: '^src/std/', ...values } },
    { name: 'platform-knows-no-room', comment: 'Platform rooms know no domain word.', severity: 'error', from: { path: `^src/(${PLATFORM})/`, pathNot: '/graphql\\.ts$' }, to: { path: `^src/(${ROOMS}|http|graphql|cluster)/`, ...values } },
    { name: 'pure-core', comment: 'Rules are arithmetic: no framework, driver, socket, file or config, so that numbers test them and any thread runs them.', severity: 'error', from: { path: PURE }, to: { path: '^(node:)?(fs|net|http|https|dgram|tls|child_process|cluster|worker_threads|dns)$|node_modules/(fastify|mercurius|mongodb|ioredis|piscina|pino|undici|ws|@fastify)/|^src/(config|errors)\\.ts$|^src/(storage|telemetry|http|graphql|cluster|limits)/', ...values } },
    { name: 'threads-reach-no-edge', comment: 'A thread scores or writes: it never sees a framework, a socket or the configuration.', severity: 'error', from: { path: '^workers/score\\.ts$' }, to: { path: 'node_modules/(fastify|mercurius|mongodb|ioredis|pino|undici|ws|@fastify)/|^src/config\\.ts$|^src/(http|graphql|cluster|storage)/', reachable: true } },
    { name: 'workers-are-opened-by-path', comment: 'Thread entries are opened by URL, imported by nobody.', severity: 'error', from: { path: '^src/' }, to: { path: '^workers/', ...values } },
    { name: 'drivers-live-in-storage', comment: 'Only storage names a database driver; only the fleet names Redis beside it.', severity: 'error', from: { path: '^src/', pathNot: '^src/(storage|cluster|limits|cache)/' }, to: { path: '^node:sqlite$|node_modules/(mongodb|ioredis)/', ...values } },
    ...Object.entries(BELOW).map(([room, below]) => ({
      name: `${room}-stays-below`,
      comment: `${room} may use the values of its own files, of platform rooms, and of the shapes of: ${below || 'no other room'}.`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: { path: `^src/(${ROOMS})/`, pathNot: `^src/${room}/${below === '' ? '' : `|^src/(${below})/shapes\\.ts$`}`, ...values }
    })),
    { name: 'rooms-know-no-edge', comment: 'http, graphql and cluster are edges: rooms are called by them. A room\'s graphql.ts may build connections.', severity: 'error', from: { path: `^src/(${ROOMS})/`, pathNot: '/graphql\\.ts$' }, to: { path: '^src/(http|graphql|cluster)/', ...values } }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] }
  }
}
