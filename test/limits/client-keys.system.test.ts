import { request as httpRequest } from 'node:http'
import { Agent } from 'node:http'
import t from 'tap'
import { openApp } from '../transaction/app.ts'

/**
 * One bucket per real client. An untrusted peer's X-Forwarded-For is ignored, garbage ends at the last believable
 * hop, a /64 is one client, an IPv4-mapped address is the IPv4 one; nothing of it is a 500.
 */
const N = 20
const env = { RATE_LIMIT_STANDARD: `${N}/60/60`, LOG_LEVEL: 'warn', ENFORCEMENT: 'shadow' }

/** The status of one request with these X-Forwarded-For lines, each a header of its own. */
async function statusOf (server: { url: string }, agent: Agent, forwarded: string[]): Promise<number> {
  return await new Promise((resolve, reject) => {
    const sent = httpRequest(`${server.url}/nothing`, { agent, headers: ['host', 'a.example', 'user-agent', 'Mozilla/5.0', ...forwarded.flatMap((value) => ['X-Forwarded-For', value])] }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode as number))
    })
    sent.on('error', reject).end()
  })
}

async function admittedOf (server: { url: string }, requests: string[][]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  const statuses = await Promise.all(requests.map((forwarded) => statusOf(server, agent, forwarded)))
  agent.destroy()
  if (statuses.some((status) => status >= 500)) throw new Error(`a 5xx among ${statuses.join(' ')}`)
  return statuses.filter((status) => status !== 429).length
}

t.test('from an untrusted peer X-Forwarded-For is ignored', async (t) => {
  const server = await openApp(t, { ...env, TRUST_PROXY: '' })
  t.equal(await admittedOf(server, Array.from({ length: 3 * N }, (_, i) => [`198.51.100.${i}`])), N)
  t.match(await (await fetch(`${server.url}/health`)).json(), { notes: [/TRUST_PROXY/] })
  t.equal(server.takeLines().filter(({ msg }) => String(msg).includes('TRUST_PROXY')).length, 1, 'one warning')
})

t.test('behind a trusted proxy each real client has one bucket', async (t) => {
  const server = await openApp(t, { ...env, TRUST_PROXY: '127.0.0.1,10.0.0.0/8' })
  const times = (count: number, make: (i: number) => string[]): string[][] => Array.from({ length: count }, (_, i) => make(i))
  t.equal(await admittedOf(server, times(2 * N, () => ['192.0.2.1'])), N, 'one client')
  t.equal(await admittedOf(server, times(2 * N, (i) => [`203.0.113.${i}, 192.0.2.2`])), N, 'what the client itself put before is ignored')
  t.equal(await admittedOf(server, times(2 * N, (i) => [`203.0.113.${i}`, '192.0.2.3'])), N, 'two headers are one list')
  t.equal(await admittedOf(server, times(2 * N, (i) => ['192.0.2.4', `10.0.0.${i}`])), N, 'trusted hops are walked through')
  t.equal(await admittedOf(server, times(N, () => ['192.0.2.5']).concat(times(N, () => ['::ffff:192.0.2.5']), times(N, () => ['::FFFF:c000:0205']))), N, 'IPv4-mapped is IPv4')
  t.equal(await admittedOf(server, times(1000, (i) => [`2001:db8:1:2::${i.toString(16)}`])), N, '1,000 addresses of one /64')
  t.equal(await admittedOf(server, times(50, (i) => [`2001:db8:1:${(i + 100).toString(16)}::1`])), 50, 'another /64 is another client')
  t.equal(await admittedOf(server, times(2 * N, (i) => [`192.0.2.6:${i + 4711}`])), N, 'a port is no other client')
  t.equal(await admittedOf(server, times(N, (i) => [`[2001:db8:9::1]:${i}`]).concat(times(N, () => ['2001:db8:9::1']), times(N, () => ['[2001:db8:9::2]']))), N, 'of IPv6 neither')
  const garbage = ['unknown', '', ',', ',,,', '999.1.1.1', '1.2.3', '192.0.2.1:', '192.0.2.1:123456', '192.0.2.1:x', '[192.0.2.1]:80', '2001:db8::1]:99', '[2001:db8::1]99', '[2001:db8::1', '<script>', '%00', '"', '127.1', '0x7f.1', '-1', ' '.repeat(50), `${'1.1.1.1,'.repeat(400)}x`, '::1::', '1.1.1.1;', '__proto__', 'null', '\t']
  t.equal(await admittedOf(server, garbage.concat(garbage).map((value) => [value])), N, 'garbage is the peer itself')
})
