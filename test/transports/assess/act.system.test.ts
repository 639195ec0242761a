import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { StoredRun } from '../../../src/playbooks/run-log.ts'
import { runCollection } from '../../../src/playbooks/shapes.ts'
import { newHolder, type Holder } from '../../transaction/doors.ts'
import { openApp } from '../../transaction/app.ts'

/** `act: true`: who may ask for it, against whom, and how often. */
const ATTACK = { method: 'GET', url: "/search?q=1' UNION SELECT name, pass FROM users -- ", headers: { host: 'shop.example' } }
const PER_MINUTE = 60
const NEVER_BLOCK = '127.0.0.0/8,::1/128,203.0.113.0/28,2001:db8::5/128,2001:db8:1::/48'

const { app, clock, takeLines } = await openApp(t, { RATE_LIMIT_MAX: '100000', NEVER_BLOCK })
const rival = await newHolder(app, ['assess', 'decide'])

interface Came { status: number, code: string | undefined, assessments: Array<{ id: string, action: string }> }

async function assess ({ key }: Holder, payload: { act?: boolean, requests: object[] }): Promise<Came> {
  const headers = { 'x-api-key': key, 'content-type': 'application/json' }
  const answer = await app.inject({ method: 'POST', url: '/v1/assess', headers, payload })
  const { error, assessments = [] } = answer.json<{ error?: { code: string }, assessments?: Came['assessments'] }>()
  return { status: answer.statusCode, code: error?.code, assessments }
}

/** Attacks from addresses of a block that each test has for itself. */
const attacksFrom = (block: number, first: number, count: number): object[] =>
  Array.from({ length: count }, (_, i) => ({ ...ATTACK, ip: `198.18.${block}.${first + i}` }))

/** A test of what was decided and run since it began. */
function testSince (title: string, body: (t: Test, seen: Seen, holder: Holder) => Promise<void>): void {
  t.test(title, async (t) => {
    // Windows of limits and runs are over.
    clock.advance(400_000)
    takeLines()
    const beganAt = clock.now()
    await body(t, {
      async decided () {
        await app.decisions.settled()
        const { items } = await app.decisions.list({}, { first: 100, after: null })
        return items.filter(({ createdAt }) => createdAt >= beganAt).map(({ scope, value }) => `${scope} ${value}`)
      },
      async runs (where: { result?: string } = {}) {
        await app.playbooks.settled()
        const { items } = await app.storage.collection<StoredRun>(runCollection).find({ where, first: 100, after: null })
        return items.filter(({ at }) => at >= beganAt)
      }
    }, await newHolder(app, ['assess', 'decide']))
  })
}

interface Seen { decided (): Promise<string[]>, runs (where?: { result?: string }): Promise<StoredRun[]> }

testSince('act: true needs the scope decide beside assess, and acts on nothing before that is known', async (t, seen) => {
  const before = await app.receipts.stats(60)
  for (const [scopes, act, status] of [
    [['assess'], false, 200],
    [['assess'], true, 403],
    [['read', 'assess'], true, 403],
    [['read', 'decide'], true, 403],
    [['read', 'decide'], false, 403],
    [['assess', 'decide'], false, 200]
  ] as const) {
    // To whom may not assess the body is his own, and is judged as such.
    const mayAssess = scopes.some((scope) => scope === 'assess')
    const requests = mayAssess ? attacksFrom(1, 0, 3) : [{ method: 'GET', url: '/', ip: '198.18.1.0' }]
    const { status: was, code } = await assess(await newHolder(app, [...scopes]), { act, requests })
    t.equal(was, status, `${scopes.join(' ')}, act ${act}`)
    t.equal(code, status === 403 ? 'NEKO_ERR_FORBIDDEN' : undefined)
  }
  t.same(await seen.decided(), [])
  t.same(await seen.runs(), [])
  const { requests } = await app.receipts.stats(60)
  t.equal(requests - before.requests, 6, 'the calls themselves are counted, and no sample')
  await assess(rival, { act: true, requests: attacksFrom(1, 0, 1) })
  t.same(await seen.decided(), ['IP 198.18.1.0'])
})

testSince('whom NEVER_BLOCK names nobody decides about on the word of others, however it is spelt', async (t, seen, holder) => {
  const byte = fc.integer({ min: 0, max: 255 })
  const four = fc.oneof(
    fc.tuple(byte, byte, byte).map((bytes) => `127.${bytes.join('.')}`),
    fc.integer({ min: 0, max: 15 }).map((last) => `203.0.113.${last}`)
  )
  const spared = fc.oneof(
    four,
    four.map((address) => `::ffff:${address}`),
    fc.constantFrom('::1', '0:0:0:0:0:0:0:1', '2001:db8::5', '2001:DB8:0:0:0:0:0:5', '2001:db8:1:77::9')
  )
  const hostile = fc.constantFrom(ATTACK, { ...ATTACK, url: '/.env' }, { ...ATTACK, url: "/.env?q=1' UNION SELECT 1 -- " })
  const samples = fc.tuple(spared, hostile).map(([ip, request]) => ({ ...request, ip }))
  for (const requests of fc.sample(fc.array(samples, { minLength: 16, maxLength: 16 }), 8)) {
    t.equal((await assess(holder, { act: true, requests })).status, 200)
    t.same(await seen.decided(), [])
  }
  const neighbours = ['203.0.113.16', '2001:db8:0:1::5', '2001:db8:2::1']
  await assess(holder, { act: true, requests: neighbours.map((ip) => ({ ...ATTACK, ip })) })
  t.equal((await seen.decided()).length, 3, 'their neighbours are no exception')
})

testSince('nor is one of them held for a program on the word of others', async (t, seen, holder) => {
  const headers = { host: 'shop.example', 'user-agent': 'curl/8.5.0' }
  for (const ip of ['203.0.113.5', '203.0.113.55']) {
    const requests = Array.from({ length: 100 }, (_, i) => ({ method: 'GET', url: `/threats?page=${i + 1}`, headers, ip }))
    await assess(holder, { act: true, requests })
  }
  t.same(await seen.decided(), ['IP 203.0.113.55'])
  t.equal(app.limits.isHeld('ip:203.0.113.5'), false)
})

testSince('without an address nobody is acted against, nor by a person who is misled by the receipt', async (t, seen, holder) => {
  const requests = [ATTACK, { ...ATTACK, url: '/.env' }, { ...ATTACK, url: '/internal-admin-backup/' }]
  const { assessments } = await assess(holder, { act: true, requests })
  t.equal(assessments[0]!.action, 'BLOCK')
  t.same(await seen.decided(), [])
  t.same(await seen.runs(), [])
  const { items } = await app.incidents.list(null, { first: 100, after: null })
  t.same(items.filter(({ attacker }) => attacker === 'ip:unknown'), [])
  t.same(takeLines().filter(({ level }) => level === 'error'), [])
  const order = app.playbooks.runOn('CRITICAL_THREAT_RESPONSE', assessments[0]!.id, { dryRun: false, actor: 'user:a' })
  await t.rejects(order, { code: 'NEKO_ERR_INPUT_INVALID' })
})

testSince('60 standing decisions a minute on the word of one caller; what is beyond is skipped, and says so', async (t, seen, holder) => {
  const counted = async (): Promise<number[]> => {
    const { values } = await app.metrics.limitDecisionsTotal.get()
    return ['allowed', 'refused'].map((result) =>
      values.find(({ labels }) => labels.tier === 'decision' && labels.result === result)?.value ?? 0)
  }
  const [allowed, refused] = await counted() as [number, number]
  await assess(holder, { act: true, requests: attacksFrom(2, 0, 50) })
  const again = await assess(holder, { act: true, requests: attacksFrom(2, 0, 100) })
  t.equal(again.assessments.length, 100, 'all are assessed')
  t.equal((await seen.decided()).length, PER_MINUTE, 'whoever was decided about before takes none of them')
  const skipped = await seen.runs({ result: 'skipped' })
  t.equal(skipped.length, 40)
  t.match(skipped[0]!.steps, [{ do: 'block', result: 'skipped', detail: /60 standing decisions/ }])
  const warned = takeLines().filter(({ submitter }) => submitter !== undefined)
  t.match(warned, [{ level: 'warn', submitter: holder.principal.clientKey }])
  t.same(await counted(), [allowed + 60, refused + 40])

  await assess(rival, { act: true, requests: attacksFrom(2, 100, 20) })
  t.equal((await seen.decided()).length, 80, 'another caller has its own')
  clock.advance(65_000)
  await assess(holder, { act: true, requests: attacksFrom(2, 60, 15) })
  t.equal((await seen.decided()).length, 95, 'and the next minute too')
})

testSince('who was skipped is met like anybody else when he attacks us himself', async (t, seen, holder) => {
  await assess(holder, { act: true, requests: attacksFrom(3, 0, 61) })
  const last = '198.18.3.60'
  t.notOk((await seen.decided()).includes(`IP ${last}`))
  await app.inject({ method: 'GET', url: encodeURI(ATTACK.url), headers: { 'x-forwarded-for': last } })
  t.equal(app.decisions.forAddress(last)?.action, 'BLOCK')
})
