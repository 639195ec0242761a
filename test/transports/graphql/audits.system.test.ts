import t from 'tap'
import { serverAudits } from 'graphql-http'
import { openApp } from '../../transaction/app.ts'

/** GraphQL over HTTP, by its working group's own audits: 13 MUST, 23 SHOULD, 25 MAY. */
const EXPECTED = { MUST: 13, SHOULD: 23, MAY: 25 }

t.test('the server passes every audit of GraphQL over HTTP', async (t) => {
  const server = await openApp(t, { ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '100000/60/0', LOG_LEVEL: 'warn' })
  const passed: Record<string, number> = { MUST: 0, SHOULD: 0, MAY: 0 }
  for (const audit of serverAudits({ url: `${server.url}/graphql`, fetchFn: fetch })) {
    const level = audit.name.split(' ', 1)[0] as string
    const result = await audit.fn()
    if (result.status === 'ok') passed[level] = (passed[level] ?? 0) + 1
    else t.fail(`${audit.name}: ${'reason' in result ? result.reason : ''}`)
  }
  t.same(passed, EXPECTED)
})
