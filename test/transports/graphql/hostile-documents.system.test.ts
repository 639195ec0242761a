import t from 'tap'
import { getIntrospectionQuery } from 'graphql'
import { openApp } from '../../transaction/app.ts'
import { CASES, GRAPHQL, openServer } from './hostile-documents.ts'

/** Hostile GraphQL documents, each refused with our code; how quickly: hostile-documents.timing.test.ts. */
t.test('hostile documents are refused with our code, and say nothing of the inside', async (t) => {
  const { server, ask } = await openServer(t)
  for (const one of CASES) {
    for (const accept of [GRAPHQL, 'application/json']) {
      const { status, text } = await ask(one, accept)
      const code = (JSON.parse(text) as { errors: Array<{ extensions: { code: string } }> }).errors[0]?.extensions.code
      t.equal(code, one.code, `${one.title}, ${accept}`)
      t.equal(status, one.status ?? (accept === GRAPHQL ? 400 : 200), `${one.title}, ${accept}`)
      t.notMatch(text, /Cannot read|\bat .*:\d+:\d+|node_modules|TypeError|undefined|Did you mean/, one.title)
    }
  }
  t.notMatch(server.output(), /"level":"(error|fatal)"/)
  t.equal((await ask({ query: '{ health { status } }' }, GRAPHQL)).status, 200, 'alive')
  t.equal(await server.stop(), 0)
})

t.test('the standard introspection query works outside production, and suggestions are made', async (t) => {
  const server = await openApp(t)
  const ask = async (query: string): Promise<string> => await (await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) })).text()
  t.match(await ask(getIntrospectionQuery()), /"queryType"/)
  t.match(await ask('{ healt { status } }'), /Did you mean/)
})
