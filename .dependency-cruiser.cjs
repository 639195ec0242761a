'use strict'

/**
 * Who may import whom. Between domain rooms only `shapes.ts` is imported for its value: behaviour is reached through
 * the application (`app.<room>`), which the owner's plugin declares. Types may come from anywhere below.
 */
const DOMAIN = 'audit|identity|intel|clients|threads|decisions|receipts|incidents|webhooks|playbooks|marketplace'
const PLATFORM = 'std|telemetry|fleet|storage|journal|limits|cache'
const TOP = '^src/(main|app|cli|prepare|rooms)\\.ts$'
const PURE = '^src/(detect/|decisions/(verdict|escalation|standing)\\.ts|playbooks/match\\.ts|identity/access\\.ts|intel/match\\.ts|processes/restart\\.ts)'
const FRAMEWORK = 'node_modules/(fastify|fastify-plugin|mercurius|ws|graphql-ws|undici|mongodb|ioredis|piscina|@fastify/(?!error))'
const SOCKETS = '^(node:)?(net|http|https|http2|dgram|tls|child_process|cluster|worker_threads|dns)(/|$)'
// Values only: `import type` leaves nothing behind at run time.
const values = { dependencyTypesNot: ['type-only'] }

/** Domain room to the rooms below it whose shapes it may use for their value. */
const BELOW = {
  audit: '',
  identity: 'audit',
  intel: 'audit',
  clients: '',
  threads: '',
  decisions: 'audit|identity|intel',
  receipts: 'audit|identity|intel|decisions',
  incidents: 'audit|identity|decisions|receipts|webhooks',
  webhooks: 'audit',
  playbooks: 'audit|identity|intel|decisions|receipts|incidents|webhooks'
}

const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

module.exports = {
  forbidden: [
    forbid('no-cycles', 'A cycle, types included, means that two files are one, or that a port is missing.',
      {}, { circular: true }),
    forbid('no-dead-files', 'A file that nobody imports is deleted; entries are named here.',
      { orphan: true, pathNot: '^(test|bench)/|\\.d\\.ts$|^src/(main|cli)\\.ts$' }, {}),
    forbid('not-to-unresolvable', 'An import that cannot be found fails at run time, on somebody else\'s machine.',
      {}, { couldNotResolve: true }),
    forbid('no-dev-dependencies', 'The image is installed without them. GraphiQL alone is looked up at run time, outside production.',
      { path: '^(src|workers)/' }, { dependencyTypes: ['npm-dev'], ...values }),
    forbid('nobody-imports-the-top', 'main, app, cli, prepare and the list of rooms wire; nobody builds on them.',
      { path: '^(src|workers)/', pathNot: TOP }, { path: TOP, ...values }),
    forbid('std-knows-nothing', 'std is for everyone, so it stands on nothing of ours.',
      { path: '^src/std/' }, { path: '^(src|workers)/', pathNot: '^src/std/' }),
    forbid('platform-knows-no-domain', 'Platform rooms know no domain word; what they speak of in GraphQL is theirs.',
      { path: `^src/(${PLATFORM})/`, pathNot: '/graphql\\.ts$' },
      { path: `^src/(${DOMAIN}|detect|schema|transaction|transports|processes)/`, ...values }),
    forbid('detect-is-pure', 'Detection is arithmetic on plain data: it knows std and itself.',
      { path: '^src/detect/' }, { path: '^src/', pathNot: '^src/(detect|std)/' }),
    forbid('pure-core', 'Rules are arithmetic: no framework, driver, socket, file or config, so that numbers test them and any thread runs them.',
      { path: PURE },
      { path: `^(node:)?fs(/|$)|${SOCKETS}|${FRAMEWORK}|node_modules/pino/|^src/(config/|errors\\.ts|storage/|telemetry/|transports/|schema/|processes/|fleet/|limits/)`, ...values }),
    forbid('threads-reach-no-edge', 'A thread scores or writes: it never sees a framework, a socket or the configuration.',
      { path: '^workers/score\\.ts$' },
      { path: 'node_modules/(fastify|mercurius|mongodb|ioredis|pino|undici|ws|@fastify)/|^src/(config|transports|transaction|schema|processes|storage)/', reachable: true }),
    forbid('workers-are-opened-by-path', 'Thread entries are opened by URL, imported by nobody.',
      { path: '^src/' }, { path: '^workers/', ...values }),
    forbid('drivers-live-in-storage', 'Only storage names a database driver; only fleet, limits and cache name Redis beside it.',
      { path: '^src/', pathNot: '^src/(storage|fleet|limits|cache)/' }, { path: '^node:sqlite$|node_modules/(mongodb|ioredis)/', ...values }),
    forbid('walk-has-no-framework', 'The walk is plain data and calls that any door can stand before: no framework and no socket, types included.',
      { path: '^src/transaction/' }, { path: `${SOCKETS}|${FRAMEWORK}|^src/(transports|schema|processes)/` }),
    forbid('walk-stands-on-plain-rooms', 'The rooms that the walk asks are handed to it: of values it takes shapes and pure rules, below which no framework stands.',
      { path: '^src/transaction/' },
      { path: '^src/', pathNot: '^src/(transaction|std|detect)/|^src/errors\\.ts$|/shapes\\.ts$|^src/decisions/verdict\\.ts$|^src/receipts/redact\\.ts$|^src/telemetry/(metrics|tallies)\\.ts$', ...values }),
    forbid('shapes-are-plain', 'Shapes are data: whoever takes them takes no framework along.',
      { path: '/shapes\\.ts$|^src/(decisions/verdict|receipts/redact|telemetry/(metrics|tallies))\\.ts$' }, { path: `${SOCKETS}|${FRAMEWORK}`, ...values }),
    forbid('transports-know-no-other', 'A transport translates in and out; two of them share nothing but the walk and the schema.',
      { path: '^src/transports/([^/]+)/' }, { path: '^src/transports/', pathNot: '^src/transports/$1/' }),
    forbid('transports-use-services', 'A transport asks rooms through the application: of their values it takes shapes only.',
      { path: '^src/transports/' },
      { path: `^src/(${DOMAIN}|detect|limits|fleet|storage|processes)/`, pathNot: '/shapes\\.ts$', ...values }),
    forbid('schema-stands-below-the-rooms', 'Rooms speak GraphQL by schema; it knows them by their types alone.',
      { path: '^src/schema/' },
      { path: `^src/(${DOMAIN}|transaction|transports|processes|limits)/`, pathNot: '/shapes\\.ts$', ...values }),
    ...Object.entries(BELOW).map(([room, below]) => forbid(`${room}-stays-below`,
      `${room} may use the values of its own files, of platform rooms, of detect, and of the shapes of: ${below || 'no other room'}.`,
      { path: `^src/${room}/` },
      { path: `^src/(${DOMAIN})/`, pathNot: `^src/${room}/${below === '' ? '' : `|^src/(${below})/shapes\\.ts$`}`, ...values })),
    forbid('rooms-know-no-edge', 'Transports, the walk and processes are edges: rooms are called by them. A room\'s graphql.ts may use schema.',
      { path: `^src/(${DOMAIN}|detect)/`, pathNot: '/graphql\\.ts$' },
      { path: '^src/(schema|transaction|transports|processes)/', ...values })
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] }
  }
}
