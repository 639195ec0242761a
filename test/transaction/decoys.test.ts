import t from 'tap'
import { createDecoys } from '../../src/transaction/decoys.ts'
import { asksDecoys, asksDecoysOnly, decoyAnswer, touchesDecoy } from '../../src/transaction/graphql-decoys.ts'

const bytes = (query: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify({ query }))

t.test('a sample touches a path decoy as the router would read it', async (t) => {
  const decoys = createDecoys(['/.env', '/wp-admin/'])
  const touches = (target: string, method = 'GET'): boolean =>
    decoys.isTouchedBy({ method, target, body: null }, false)
  for (const target of ['/.env', '/.env?a=1', '/%2eenv', '/wp-admin/', '/wp-admin', '/.decoy', '/old-console/']) {
    t.ok(touches(target), target)
  }
  for (const target of ['/', '/.env/', '/.ENV', '/a/.env', '/%2Fwp-admin', '/%zz', '/.env%00', '//.env', '']) {
    t.notOk(touches(target), target)
  }
  for (const method of ['GET', 'HEAD', 'POST']) t.ok(touches('/.env', method), method)
  for (const method of ['PUT', 'get', 'PROPFIND', '']) t.notOk(touches('/.env', method), method)
})

t.test('a route of ours at the place of a decoy is none', async (t) => {
  const decoys = createDecoys(['/.env', '/status/'])
  const touches = (target: string): boolean => decoys.isTouchedBy({ method: 'GET', target, body: null }, false)
  decoys.yieldTo('/status')
  t.notOk(touches('/status'))
  t.ok(touches('/status/'), 'only there')
})

t.test('without configured paths none of ours is a decoy, but the fields of GraphQL stay', async (t) => {
  const decoys = createDecoys([])
  t.equal(decoys.urls.size, 0)
  t.notOk(decoys.isTouchedBy({ method: 'GET', target: '/.decoy', body: null }, false))
  t.ok(decoys.isTouchedBy({ method: 'POST', target: '/graphql', body: bytes('{ adminUsers }') }, false))
})

t.test('a sample that its score refuses touches a decoy only with a document of nothing else', async (t) => {
  const decoys = createDecoys(['/.env'])
  const touches = (query: string, isRefused: boolean, target = '/graphql'): boolean =>
    decoys.isTouchedBy({ method: 'POST', target, body: bytes(query) }, isRefused)
  t.ok(touches('{ adminUsers health { status } }', false))
  t.notOk(touches('{ adminUsers health { status } }', true))
  t.ok(touches('{ adminUsers systemConfig }', true))
  t.notOk(touches('{ adminUsers }', false, '/graph'))
  t.ok(decoys.isTouchedBy({ method: 'GET', target: '/.env', body: null }, true), 'a path answers whatever the score')
})

t.test('a decoy is found anywhere in a document, and only as a field', async (t) => {
  const touching = [
    '{ adminUsers }',
    '{ health { status } adminUsers }',
    'query { a: systemConfig }',
    'query A { health { status } } query B { __internal }',
    '{ ...F } fragment F on Query { internalTokens }',
    '{ a { b { debugQuery } } }',
    'mutation { adminUsers }'
  ]
  for (const query of touching) t.ok(touchesDecoy(query), query)
  const passing = [
    '{ health { status } }',
    '{ adminUsers: health { status } }',
    '{ threatActors(search: "adminUsers") { totalCount } }',
    'query adminUsers { health { status } }',
    'query ($adminUsers: String) { health { status } }',
    '# adminUsers\n{ health { status } }',
    '{ adminUsersX }',
    '{ adminUsers',
    'adminUsers',
    ''
  ]
  for (const query of passing) t.notOk(touchesDecoy(query), query)
})

t.test('the bait answers a document of nothing but decoys, by the names it was asked under', async (t) => {
  t.same(decoyAnswer('{ adminUsers systemConfig }'), { adminUsers: [], systemConfig: null })
  t.same(decoyAnswer('query Q { mine: internalTokens { id } }'), { mine: [] })
  t.same(decoyAnswer('query A { debugQuery } query B { __internal }'), { debugQuery: null, __internal: null })
  const proto = decoyAnswer('{ __proto__: adminUsers }')
  t.strictSame(Object.keys(proto ?? {}), ['__proto__'], 'a name like any other')
  t.equal(({} as { length?: unknown }).length, undefined)
  for (const query of [
    '{ adminUsers health { status } }',
    'mutation { adminUsers }',
    'subscription { adminUsers }',
    '{ ...F } fragment F on Query { adminUsers }',
    '{ ... { adminUsers } }',
    '{ toString adminUsers }',
    '{ adminUsers',
    `{ ${'adminUsers '.repeat(1001)} }`,
    '{ health { status } }'
  ]) t.equal(decoyAnswer(query), null, query.slice(0, 60))
})

t.test('a document is read from the body, or from the query where there is none', async (t) => {
  t.ok(asksDecoys('/graphql', bytes('{ health { status } adminUsers }')))
  t.notOk(asksDecoysOnly('/graphql', bytes('{ health { status } adminUsers }')))
  t.ok(asksDecoysOnly('/graphql', bytes('{ adminUsers }')))
  for (const url of ['/graphql?query={adminUsers}', '/graphql?a=b&query={+adminUsers+}']) {
    t.ok(asksDecoys(url, null), url)
    t.ok(asksDecoysOnly(url, null), url)
    t.notOk(asksDecoys(url, bytes('{ health { status } }')), 'a body comes first')
  }
  t.notOk(asksDecoysOnly('/graphql?query={health{status}+adminUsers}', null))
  t.notOk(asksDecoys('/graphql?adminUsers', null))
})

t.test('a decoy is found behind the escapes of a query string and of JSON', async (t) => {
  for (const query of [encodeURIComponent('{ adminUsers }'), '%7B%61dminUsers%7D']) {
    t.ok(asksDecoys(`/graphql?query=${query}`, null))
    t.ok(asksDecoysOnly(`/graphql?query=${query}`, null))
  }
  const body = new TextEncoder().encode('{"query":"{ \\u0061dminUsers }"}')
  t.ok(asksDecoys('/graphql', body))
  t.ok(asksDecoysOnly('/graphql', body))
})

t.test('what is no document touches nothing, and makes nothing throw', async (t) => {
  const text = (body: string): Uint8Array => new TextEncoder().encode(body)
  const cut = '{"query":"adminUsers"'
  for (const body of ['', 'adminUsers', cut, 'null', '[]', '"adminUsers"', '{"query":["adminUsers"]}']) {
    t.notOk(asksDecoys('/graphql', text(body)), body)
    t.notOk(asksDecoysOnly('/graphql', text(body)), body)
  }
  for (const url of ['adminUsers', '//adminUsers', '/graphql?query=%zz%adminUsers', 'http://[adminUsers']) {
    t.notOk(asksDecoys(url, null), url)
  }
})
