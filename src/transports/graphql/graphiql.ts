import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

/**
 * GraphiQL at /graphiql/, outside production only, from the files of its own packages: it works without the
 * internet and under a policy that allows nothing from elsewhere. Its packages are development dependencies:
 * where they are not installed there is no such route.
 */
const FILES = [
  { name: 'graphiql.js', module: 'graphiql/package.json', path: 'graphiql.min.js' },
  { name: 'graphiql.css', module: 'graphiql/package.json', path: 'graphiql.min.css' },
  { name: 'react.js', module: 'react/package.json', path: 'umd/react.production.min.js' },
  { name: 'react-dom.js', module: 'react-dom/package.json', path: 'umd/react-dom.production.min.js' }
]

/** GraphiQL sets styles from its scripts; icons and fonts are data within its style sheet. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'"
].join('; ')

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>NEKO Defense API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/graphiql/graphiql.css">
<style>html, body, #root { height: 100%; margin: 0 }</style>
</head>
<body>
<div id="root">Loading</div>
<script src="/graphiql/react.js"></script>
<script src="/graphiql/react-dom.js"></script>
<script src="/graphiql/graphiql.js"></script>
<script src="/graphiql/start.js"></script>
</body>
</html>
`

const START = `const subscriptionUrl = location.origin.replace(/^http/, 'ws') + '/graphql'
const fetcher = GraphiQL.createFetcher({ url: '/graphql', subscriptionUrl })
const page = React.createElement(GraphiQL, { fetcher, defaultEditorToolsVisibility: 'headers' })
ReactDOM.createRoot(document.getElementById('root')).render(page)
`

export default fp(async (app) => {
  const files = app.config.production ? null : installedFiles()
  if (files === null) return
  await app.register(fastifyStatic, {
    root: [...new Set([...files.values()].map((path) => dirname(path)))],
    serve: false,
    cacheControl: true,
    maxAge: '1h'
  })
  const shown = (reply: FastifyReply): FastifyReply => reply.header('content-security-policy', POLICY)

  app.get('/graphiql', async (_request, reply) => await reply.redirect('/graphiql/'))
  app.get('/graphiql/', async (_request, reply) => await shown(reply).type('text/html; charset=utf-8').send(PAGE))
  app.get(
    '/graphiql/start.js',
    async (_request, reply) =>
      await shown(reply).header('cache-control', 'public, max-age=3600').type(
        'text/javascript; charset=utf-8'
      ).send(START)
  )
  for (const [name, path] of files) {
    app.get(
      `/graphiql/${name}`,
      async (_request, reply) =>
        await shown(reply).sendFile(path.slice(dirname(path).length + 1), dirname(path))
    )
  }
}, { name: 'graphiql', dependencies: ['config'] })

/** Name -> path, or null when one of the packages is not there. */
function installedFiles (): Map<string, string> | null {
  const { resolve } = createRequire(import.meta.url)
  try {
    return new Map(FILES.map(({ name, module, path }) => [name, join(dirname(resolve(module)), path)]))
  } catch {
    return null
  }
}
