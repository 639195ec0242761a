import { readFileSync } from 'node:fs'
import t from 'tap'
import { PASSWORD, asAdmin, createTestClient, makeKey } from './client.ts'
import { sharedPath } from '../shared.ts'
import { startServer } from '../server.ts'

/** The labelled smoke corpus through `POST /v1/assess` of a real server. */
const smoke = sharedPath('corpora/dev-smoke.jsonl')
const BALANCED_ACCURACY_MIN = 0.8
interface Item { id: string, label: 'malicious' | 'benign', class: string, request: object }
interface Assessed { id: string, score: number, action: 'ALLOW' | 'CHALLENGE' | 'BLOCK', factors: Array<{ name: string, contribution: number }> }

t.test('the smoke corpus is told apart, and no benign GraphQL is blocked', { skip: smoke === null ? '../shared is absent' : false }, async (t) => {
  const server = await startServer(t, { env: { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' } })
  const client = createTestClient(t, server)
  const key = client.as({ 'x-api-key': (await makeKey(await asAdmin(client), ['assess'])).key })
  const items = readFileSync(smoke!, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Item)
  const assessed: Assessed[] = []
  for (let i = 0; i < items.length; i += 100) {
    const reply = await key.ask('/v1/assess', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ requests: items.slice(i, i + 100).map(({ request }) => request) }) })
    t.equal(reply.status, 200, reply.text.slice(0, 300))
    assessed.push(...(reply.json as { assessments: Assessed[] }).assessments)
  }
  t.equal(assessed.length, items.length)
  for (const { score, factors } of assessed) {
    const sum = factors.reduce((total, { contribution }) => total + contribution, 0)
    if (Math.abs(sum - score) > 0.001 || score < 0 || score > 100) t.fail(`contributions ${sum} of a score of ${score}`)
  }
  const share = (label: Item['label'], holds: (one: Assessed) => boolean): number => {
    const some = assessed.filter((_, i) => items[i]!.label === label)
    return some.filter(holds).length / some.length
  }
  const found = share('malicious', ({ action }) => action !== 'ALLOW')
  const left = share('benign', ({ action }) => action === 'ALLOW')
  const blocked = share('malicious', ({ action }) => action === 'BLOCK')
  const balanced = (found + left) / 2
  t.comment(`challenged or blocked ${(100 * found).toFixed(1)} %, blocked ${(100 * blocked).toFixed(1)} %, benign left alone ${(100 * left).toFixed(1)} %, balanced ${balanced.toFixed(3)}`)
  t.ok(balanced >= BALANCED_ACCURACY_MIN, `balanced accuracy ${balanced.toFixed(3)}`)
  t.same(items.filter(({ label, class: kind }, i) => label === 'benign' && kind === 'graphql' && assessed[i]!.action === 'BLOCK').map(({ id }) => id), [])
  t.equal((await key.ask('/nothing')).status, 404, 'whoever handed it in is not held for it')
})
