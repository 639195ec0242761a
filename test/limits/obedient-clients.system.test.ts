import t from 'tap'
import { createTestClient } from '../e2e/client.ts'
import { LENGTHENED_BLOCK_SECONDS, VIOLATIONS_MAX } from '../../src/limits/limiter.ts'
import { PLAYBOOKS } from '../../src/playbooks/catalogue.ts'
import { openApp } from '../transaction/app.ts'

/** Who waits for as long as Retry-After says is admitted, each time; who has some left is never refused. */
t.test('a client that obeys the headers is always admitted', async (t) => {
  const { url, clock } = await openApp(t, { RATE_LIMIT_STANDARD: '10/2/0' })
  const client = createTestClient(t, { url })
  let refusals = 0
  let sent = 0
  let remaining = 1
  let waited = false
  // The third crossing within ten minutes is the one that a playbook answers.
  while (refusals < 3) {
    const { status, headers } = await client.ask('/nothing')
    sent++
    for (const name of ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset']) t.match(headers[name], /^\d+$/)
    if (status === 429) {
      refusals++
      t.notOk(waited, 'who waited is admitted')
      t.equal(remaining, 0, 'remaining said so')
      t.match(headers['retry-after'], /^[1-9]\d*$/)
      if (refusals < 3) {
        t.ok(Number(headers['retry-after']) <= 3)
        clock.advance(Number(headers['retry-after']) * 1000)
      } else t.equal(headers['retry-after'], '300', 'the lengthened block is told with the refusal that brings it')
    }
    waited = status === 429
    remaining = Number(headers['x-ratelimit-remaining'])
  }
  // Ten at once, then at least one after each wait.
  t.ok(sent >= 11 + 2 + 2 && sent <= 33, `${sent} requests for three refusals`)
  const { status, headers } = await client.ask('/nothing')
  t.equal(status, 429)
  t.ok(Number(headers['retry-after']) > 290 && Number(headers['retry-after']) <= 300, 'as told')
})

t.test('the block that follows too many requests ends when Retry-After says', async (t) => {
  const { url, clock } = await openApp(t, { RATE_LIMIT_STANDARD: '5/1/3', ENFORCEMENT: 'shadow' })
  const client = createTestClient(t, { url })
  let reply = await client.ask('/nothing')
  for (let i = 0; i < 10 && reply.status !== 429; i++) reply = await client.ask('/nothing')
  const waitSeconds = Number(reply.headers['retry-after'])
  t.ok(waitSeconds >= 3 && waitSeconds <= 4, `${waitSeconds} s`)
  t.equal(reply.headers['x-ratelimit-reset'], reply.headers['retry-after'])
  clock.advance(1500)
  const midway = await client.ask('/nothing')
  t.equal(midway.status, 429, 'asking meanwhile is refused')
  t.ok(Number(midway.headers['retry-after']) < waitSeconds, 'and does not lengthen it')
  clock.advance(Number(midway.headers['retry-after']) * 1000)
  t.equal((await client.ask('/nothing')).status, 404)
})

t.test('what the limiter foretells is what the playbook does', (t) => {
  t.same(PLAYBOOKS.find(({ name }) => name === 'RATE_LIMIT_VIOLATION')?.steps, [{ do: 'limit', seconds: LENGTHENED_BLOCK_SECONDS }])
  t.equal(VIOLATIONS_MAX, 3)
  t.end()
})
