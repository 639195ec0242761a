import { test } from 'tap'
import { classifyAgent } from '../../src/detect/signs/agents.ts'
import { matchTokenHead } from '../../src/detect/signs/bearer-token.ts'

/** More new texts than a cache holds, with one that is asked for all the while. */
const FLOOD = 5_000

test('an agent in use stays sorted while a flood of others passes', (t) => {
  const agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
  const sorted = classifyAgent(agent)
  for (let i = 0; i < FLOOD; i++) {
    classifyAgent(`flood/${i}`)
    if (classifyAgent(agent) !== sorted) return t.fail(`sorted again after ${i} others`)
  }
  t.equal(classifyAgent(agent), sorted)
  t.not(classifyAgent('flood/0'), classifyAgent('flood/1'))
  t.end()
})

test('the head of an unsigned token in use stays read while a flood of others passes', (t) => {
  const bearer = (head: object): string => `Bearer ${Buffer.from(JSON.stringify(head)).toString('base64url')}.e30.`
  const token = bearer({ alg: 'none' })
  const read = matchTokenHead(token)
  t.equal(read?.value, 0.82)
  for (let i = 0; i < FLOOD; i++) {
    matchTokenHead(bearer({ alg: 'HS256', kid: String(i) }))
    if (matchTokenHead(token) !== read) return t.fail(`read again after ${i} others`)
  }
  t.equal(matchTokenHead(token), read)
  t.end()
})
