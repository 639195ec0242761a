import t from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import { createThreadScorer } from '../../src/threads/thread.ts'

/** Samples may hold line breaks in any part: no two requests may share a place in the verdict cache. */
const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const ATTACK = "1' UNION SELECT username, password FROM users WHERE 1=1--"
const base: Observation = { id: '', at: 0, client: 'ip:192.0.2.1', method: 'POST', url: '/search', headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Accept', '*/*', 'Content-Type', 'application/x-www-form-urlencoded'], body: null, route: null, history: null }
const text = (body: string): Uint8Array => new TextEncoder().encode(body)

t.test('a benign request whose parts run into each other as an attack does lends it no verdict', async (t) => {
  const attacks: Observation[] = [
    { ...base, body: text(`q=${ATTACK}`) },
    { ...base, url: `/search?q=${encodeURIComponent(ATTACK)}` },
    { ...base, headers: [...base.headers, 'X-Query', ATTACK] }
  ]
  const joins = ['', '\n', '\n\n', ' ', '\r\n', '\n\n\n']
  for (const attack of attacks) {
    const alone = createThreadScorer()(attack, policy).value
    const scorer = createThreadScorer()
    const bytes = Buffer.from(attack.body ?? []).toString('latin1')
    for (const join of joins) {
      // The same text, with the borders between its parts elsewhere.
      const headers = attack.headers
      const shifted: Observation[] = [
        { ...attack, headers: [...headers.slice(0, -1), headers.at(-1)! + join + bytes], body: null },
        { ...attack, headers: [...headers.slice(0, -2), headers.slice(-2).join(join)], body: attack.body },
        { ...attack, method: `${attack.method}${join}${attack.url}`, url: '' },
        { ...attack, url: `${attack.url}${join}${attack.route ?? ''}${join}${headers.join(join)}`, headers: [] },
        { ...attack, route: join + (headers[0] ?? ''), headers: headers.slice(1) }
      ]
      for (const observation of shifted) scorer(observation, policy)
    }
    t.equal(scorer(attack, policy).value, alone)
  }
})
