import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { webhookCollections, type Notice } from '../../src/webhooks/shapes.ts'
import { createWebhooks, type WebhookParts, type Webhooks } from '../../src/webhooks/webhooks.ts'
import { systemClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'

interface Receiver { port: number, bodies: string[], answers: number[] }

/** Answers each request with the next status, then with 204. */
async function receiver (t: Test, answers: number[] = []): Promise<Receiver> {
  const bodies: string[] = []
  const server = createServer((incoming, answer) => {
    let body = ''
    incoming.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => {
      bodies.push(body)
      const status = answers.shift() ?? 204
      answer.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, bodies, answers }
}

async function open (t: Test, url: string, more: Partial<WebhookParts> = {}): Promise<Webhooks> {
  const awake = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(awake))
  const storage = await openTestStorage(t, webhookCollections)
  const webhooks = createWebhooks({ urls: [url], secret: 's'.repeat(32), storage, clock: systemClock, log: { warn () {} }, retryBaseMs: 1, gatherMs: 1, ...more })
  t.teardown(() => webhooks.close())
  return webhooks
}

const notice = (attacker: string): Notice => ({ kind: 'alert', playbook: 'ACTIVE_ATTACK_DETECTED', attacker, assessmentId: 'as_1', score: 80, reason: 'test', simulated: false, incident: 'in_1' })
const letters = async (webhooks: Webhooks): Promise<Array<{ id: string, problem: string }>> => (await webhooks.deadLetters({ first: 10, after: null })).items

t.test('a storm is one message per window, with a count and at most 50 attackers', async (t) => {
  const to = await receiver(t)
  const webhooks = await open(t, `http://127.0.0.1:${to.port}/`)
  for (let i = 0; i < 10_000; i++) webhooks.notify(notice(`ip:10.0.${i >> 8}.${i & 255}`))
  await webhooks.settled()
  t.equal(to.bodies.length, 1)
  t.match(JSON.parse(to.bodies[0]!), { count: 10_000, critical: false })
  t.equal(JSON.parse(to.bodies[0]!).attackers.length, 50)
})

t.test('an escalation that joins an alert speaks for its attacker, and one that comes after it has a message of its own', async (t) => {
  const to = await receiver(t)
  const webhooks = await open(t, `http://127.0.0.1:${to.port}/`)
  const escalation: Notice = { ...notice('ip:192.0.2.1'), kind: 'escalate', playbook: 'CRITICAL_THREAT_RESPONSE', score: 97 }
  webhooks.notify(notice('ip:192.0.2.1'))
  webhooks.notify(escalation)
  webhooks.notify(notice('ip:192.0.2.1'))
  webhooks.notify(notice('ip:192.0.2.2'))
  await webhooks.settled()
  webhooks.notify(escalation)
  await webhooks.settled()
  t.match(to.bodies.map((body) => JSON.parse(body)), [
    { count: 4, critical: true, attackers: [{ attacker: 'ip:192.0.2.1', kind: 'escalate', playbook: 'CRITICAL_THREAT_RESPONSE', score: 97, count: 3 }, { attacker: 'ip:192.0.2.2', kind: 'alert', count: 1 }] },
    { count: 1, critical: true, attackers: [{ kind: 'escalate' }] }
  ])
})

t.test('a receiver that fails is asked three times more; then the message is kept, and can be replayed', async (t) => {
  const to = await receiver(t, [503, 500, 429, 503])
  const webhooks = await open(t, `http://127.0.0.1:${to.port}/`)
  webhooks.notify(notice('ip:192.0.2.1'))
  await webhooks.settled()
  t.equal(to.bodies.length, 4)
  const [letter] = await letters(webhooks)
  t.equal(letter!.problem, 'answered 503')
  to.answers.push(500)
  t.equal(await webhooks.replay(letter!.id), false, 'it failed again and stays')
  t.equal(await webhooks.replay(letter!.id), true)
  t.equal(to.bodies.at(-1), to.bodies[0])
  t.same(await letters(webhooks), [])
  await t.rejects(webhooks.replay(letter!.id), { code: 'NEKO_ERR_NOT_FOUND' })
})

t.test('a redirect is neither followed nor tried again', async (t) => {
  const to = await receiver(t, [302])
  const webhooks = await open(t, `http://127.0.0.1:${to.port}/`)
  webhooks.notify(notice('ip:192.0.2.1'))
  await webhooks.settled()
  t.equal(to.bodies.length, 1)
  t.match(await letters(webhooks), [{ problem: 'answered 302' }])
})

t.test('a name that turns into a private address is never connected to', async (t) => {
  const to = await receiver(t)
  for (const address of ['127.0.0.1', '10.1.2.3', '169.254.169.254', '::1', '::ffff:127.0.0.1', 'fd00::1']) {
    const webhooks = await open(t, `http://hooks.example:${to.port}/`, { resolve: async () => ['203.0.113.1', address] })
    webhooks.notify(notice('ip:192.0.2.1'))
    await webhooks.settled()
    t.match(await letters(webhooks), [{ problem: 'the name resolves to a private address' }], address)
  }
  t.equal(to.bodies.length, 0)
})

t.test('an address that the operator wrote, or localhost, is meant', async (t) => {
  const to = await receiver(t)
  const webhooks = await open(t, `http://localhost:${to.port}/`, { resolve: async () => ['127.0.0.1'] })
  webhooks.notify(notice('ip:192.0.2.1'))
  await webhooks.settled()
  t.equal(to.bodies.length, 1)
})

t.test('announcements of one moment are one signed message, and one that cannot be delivered is not kept', async (t) => {
  const to = await receiver(t, [204, 500, 500, 500, 500])
  const warned: object[] = []
  const webhooks = await open(t, `http://127.0.0.1:${to.port}/`, { log: { warn: (fields) => { warned.push(fields) } } })
  for (let i = 0; i < 150; i++) webhooks.announce('audit.checkpoint', { number: i })
  await webhooks.settled()
  t.equal(to.bodies.length, 1)
  const { type, facts, ...rest } = JSON.parse(to.bodies[0]!) as { type: string, facts: Array<{ number: number }>, id: string, at: string }
  t.equal(type, 'audit.checkpoint')
  t.same([facts.length, facts[0], facts.at(-1)], [100, { number: 50 }, { number: 149 }], 'the newest of a bounded number')
  t.same(Object.keys(rest), ['id', 'at'])
  webhooks.announce('audit.checkpoint', { number: 150 })
  await webhooks.settled()
  t.equal(to.bodies.length, 5, 'tried four times')
  t.same(await letters(webhooks), [], 'the next one says more')
  t.equal(warned.length, 1)
})
