import t from 'tap'
import { openApp } from '../transaction/app.ts'

const ATTACK = { method: 'GET', url: "/search?q=1' UNION SELECT name, pass FROM users -- ", headers: { host: 'shop.example' } }

t.test('what others saw is acted on only when it is asked for: act true blocks the address that is named', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: 'a long pass phrase', TRUST_PROXY: '127.0.0.1/32' })
  const post = async (path: string, body: object, headers: Record<string, string> = {}): Promise<{ status: number, body: Record<string, never> }> => {
    const response = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
    return { status: response.status, body: await response.json() as Record<string, never> }
  }
  const login = await post('/graphql', { query: 'mutation { login(username: "admin", password: "a long pass phrase") { accessToken } }' })
  const authorization = `Bearer ${(login.body as unknown as { data: { login: { accessToken: string } } }).data.login.accessToken}`
  const from = async (ip: string): Promise<number> => (await post('/graphql', { query: '{ threatCounts { count } }' }, { 'x-forwarded-for': ip })).status

  const seen = await post('/v1/assess', { requests: [{ ...ATTACK, ip: '203.0.113.7' }] }, { authorization })
  t.equal((seen.body as unknown as { assessments: Array<{ action: string }> }).assessments[0]?.action, 'BLOCK')
  t.equal(await from('203.0.113.7'), 200, 'assessed only')

  await post('/v1/assess', { act: true, requests: [{ ...ATTACK, ip: '203.0.113.8' }] }, { authorization })
  t.equal(await from('203.0.113.8'), 403, 'acted on')
  t.equal(await from('203.0.113.9'), 200, 'nobody else')
})
