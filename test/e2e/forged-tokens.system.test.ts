import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createTestClient, PASSWORD } from './client.ts'
import { createForge } from '../identity/token-forge.ts'
import { SECRET } from '../identity/room.ts'
import { startServer } from '../server.ts'

/**
 * Whatever is wrong with a token, its bearer is told 401, also where the token itself is an attack that
 * scores as one; test/identity/tokens.test.ts has the times.
 */
t.test('every forged token is answered 401 over HTTP, and nobody is called', async (t) => {
  let calls = 0
  const keys = createServer((_request, response) => { calls++; response.end('{}') })
  await new Promise<void>((resolve) => { keys.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => keys.close())
  // More vectors than a minute of refused credentials has room for.
  const server = await startServer(t, { env: { WORKERS: '1', ADMIN_PASSWORD: PASSWORD, JWT_SECRET: SECRET, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '10000/60/0' } })
  const client = createTestClient(t, server)
  const { vectors } = createForge(Math.floor(Date.now() / 1000))
  // The others are no header values: the parser refuses them.
  const sendable = Object.entries(vectors(`http://127.0.0.1:${(keys.address() as AddressInfo).port}`)).filter(([, token]) => /^[\x20-\x7e]*$/.test(token))
  t.ok(sendable.length >= 100)
  for (const [name, token] of sendable) {
    const { status, json } = await client.as({ authorization: `Bearer ${token}` }).graphql('{ health { status } }')
    if (token.length > 16_384) t.equal(status, 431, name)
    else t.match({ status, json }, { status: 401, json: { errors: [{ extensions: { code: 'NEKO_ERR_UNAUTHENTICATED' } }] } }, name)
  }
  t.equal((await client.as({ authorization: 'Bearer a.b.c' }).ask('/x?q=1%27%20union%20select%20password%20from%20users--')).status, 403, 'an attack beside it is refused as one')
  t.equal(calls, 0)
})
