import t from 'tap'
import { allowableSigns } from '../../src/detect/allowable.ts'
import { withAllowances } from '../../src/detect/allowances.ts'
import { findingsOf } from '../../src/detect/factors/payload.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import { formOfShape, shapeOf } from '../../src/detect/sign-shape.ts'
import { createThreadScorer } from '../../src/threads/thread.ts'
import { observation } from './observations.ts'
import { observe } from './payload-observation.ts'
import { RAW_ATTACKS } from './raw-scan-attacks.ts'
import { SCRIPT_VARIANTS } from './payload-variants-script.ts'
import { SQL_VARIANTS } from './payload-variants-sql.ts'
import { SYSTEM_VARIANTS } from './payload-variants-system.ts'
import type { Observation } from '../../src/detect/shapes.ts'
import type { Policy } from '../../src/detect/policy.ts'

/** What an allowance lets through: the twins of a false alarm; of an attack that same attack, and none of its neighbours. */
const STRICT = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })

const allowing = (marked: Observation): Policy => withAllowances(STRICT, allowableSigns(marked, STRICT, () => true))
const scoreOf = (asked: Observation, policy: Policy): number => scoreObservation(asked, policy).value
const asked = (name: string, text: string, path = '/catalog', route: string | null = path): Observation => observation({ url: `${path}?${name}=${encodeURIComponent(text)}`, route })
const json = (body: object, route: string | null = '/items'): Observation => observation({ url: '/items', route, method: 'POST', headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Content-Type', 'application/json'], body: Buffer.from(JSON.stringify(body)) })

const UNION = "1' UNION SELECT name, password FROM users-- "

/** The same attack another way: other tables, columns, tautologies, chains, spellings, and other attacks. */
function neighboursOf (): string[] {
  const found = new Set<string>()
  for (const table of ['admins', 'accounts', 'information_schema.tables', 'Users', 'users2', 'mysql.user']) for (const columns of ['name, password', 'name, pass', 'name', 'null, null']) found.add(`1' UNION SELECT ${columns} FROM ${table}-- `)
  for (const tail of [' ', '#', ' LIMIT 1-- ', ' WHERE 1=1-- ', ' WHERE 2=2-- ', " WHERE name='admin'-- ", ' UNION SELECT 1, 2-- ', '; DROP TABLE users-- ']) found.add(UNION.replace('-- ', tail))
  for (const head of ['2', '', "x' OR 1=1", "1')", '1', "1' AND 1=2", '-1']) found.add(UNION.replace('1', head))
  for (const spelling of [UNION.toLowerCase(), UNION.toUpperCase(), UNION.replaceAll(' ', '/**/'), UNION.replaceAll(' ', '  '), ` ${UNION}`, `${UNION}-`, UNION.replace('UNION', 'UNION ALL')]) found.add(spelling)
  for (const other of ["1' OR 1=1-- ", "1' OR 2=2-- ", "'; DROP TABLE users-- ", '<script>alert(1)</script>', '$(cat /etc/passwd)', '../../../etc/passwd']) found.add(other)
  found.delete(UNION)
  return [...found]
}

t.test('an attack that was allowed passes at its place of its route, and none of its neighbours does', (t) => {
  const policy = allowing(asked('q', UNION))
  t.ok(scoreOf(asked('q', UNION), STRICT) >= 90)
  t.ok(scoreOf(asked('q', UNION), policy) < 20)
  const neighbours = neighboursOf()
  t.ok(neighbours.length >= 50, String(neighbours.length))
  t.same(neighbours.filter((text) => scoreOf(asked('q', text), policy) !== scoreOf(asked('q', text), STRICT)), [])
  const elsewhere = [asked('name', UNION), asked('Q', UNION), asked('q', UNION, '/search'), asked('q', UNION, '/catalog', null), asked('q', UNION, '/catalog/1', '/catalog/:id'), json({ q: UNION }, '/catalog'), observation({ url: '/catalog', route: '/catalog', headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'X-Q', UNION] })]
  t.same(elsewhere.map((one) => scoreOf(one, policy)), elsewhere.map((one) => scoreOf(one, STRICT)))
  t.end()
})

t.test('what is allowed hides nothing beside it: the same rule at another place, or twice at its own', (t) => {
  const policy = allowing(asked('q', UNION))
  for (const rest of [`&other=${encodeURIComponent(UNION.replace('users', 'admins'))}`, `&q=${encodeURIComponent(UNION.replace('users', 'admins'))}`, `&z=${encodeURIComponent(UNION)}`]) {
    const both = { ...asked('q', UNION), url: asked('q', UNION).url + rest }
    const first = { ...both, url: `/catalog?${rest.slice(1)}&q=${encodeURIComponent(UNION)}` }
    for (const one of [both, first]) t.ok(scoreOf(one, policy) >= 75, one.url)
  }
  const scorer = createThreadScorer()
  t.ok(scorer(asked('q', UNION), STRICT).value >= 75)
  t.ok(scorer(asked('q', UNION), policy).value < 40, 'findings that a thread remembers are of their policy')
  t.ok(scorer(asked('q', UNION), withAllowances(policy, [])).value >= 75)
  t.end()
})

t.test('where no route answers, an allowance is for the exact path', (t) => {
  const policy = allowing(asked('q', UNION, '/old/report', null))
  t.ok(scoreOf(asked('q', UNION, '/old/report', null), policy) < 40)
  for (const path of ['/old/reports', '/old/report/', '/old', '/', '/OLD/report', '//old/report', '/old/./report']) t.ok(scoreOf(asked('q', UNION, path, null), policy) >= 75, path)
  const hidden = observation({ url: '/.cache/x', route: null })
  t.ok(scoreOf(hidden, STRICT) >= 75)
  t.ok(scoreOf(hidden, allowing(hidden)) < 40, 'a path that scanners ask for')
  for (const url of ['/.cache/y', '/.git/x', '/.env']) t.ok(scoreOf({ ...hidden, url }, allowing(hidden)) >= 75, url)
  t.end()
})

t.test('places are told apart in bodies too, and an allowed value of JSON allows no other field', (t) => {
  const policy = allowing(json({ filter: { name: UNION } }))
  t.ok(scoreOf(json({ filter: { name: UNION } }), policy) < 40)
  for (const body of [{ filter: { title: UNION } }, { name: UNION }, { filter: { name: UNION, title: UNION } }, { filter: { name: UNION.replace('users', 'x') } }]) t.ok(scoreOf(json(body), policy) >= 75, JSON.stringify(body))
  t.end()
})

const NAMES = ["O'Brien", "D'Arcy", "O'Neill", "d'Artagnan", "L'Ouverture", "Mc'Coy", "N'Golo", "O'Connor"]

t.test('a false alarm over a name lets its twins through, and only them', (t) => {
  const policy = allowing(asked('name', "O'Brien (Smith"))
  const twins = NAMES.flatMap((one) => NAMES.map((other) => `${one} (${other.slice(other.indexOf("'") + 1)}`))
  const alarms = twins.filter((text) => scoreOf(asked('name', text), STRICT) >= 75)
  t.ok(alarms.length > 40, String(alarms.length))
  t.same(twins.filter((text) => scoreOf(asked('name', text), policy) >= 40), [])
  t.ok(scoreOf(asked('name', "Mary-Jane O'Hara (Jones"), policy) < 40, 'of two names')
  for (const text of ["O'Brien (select", "O'Brien (sleep(5)", "O'Brien' (or 1=1", "O'Brien (1=1", "O'Brien (x;", "x' or (y", "O'Brien ((Smith", "'O'Brien (Smith", "a'b (c.d(e", "O'Brien (../x"]) {
    t.equal(scoreOf(asked('name', text), policy), scoreOf(asked('name', text), STRICT), text)
  }
  t.ok(scoreOf(asked('other', "D'Arcy (Jones"), policy) >= 75)
  t.end()
})

t.test('no attack has the form of a name, so that none is a twin of anything', (t) => {
  const variants = [SQL_VARIANTS, SCRIPT_VARIANTS, SYSTEM_VARIANTS].flatMap((all) => Object.values(all).flat().map(([attack]) => attack))
  const attacks = [...variants, ...Object.values(RAW_ATTACKS).flat(), ...neighboursOf()]
  t.ok(attacks.length > 300, String(attacks.length))
  const formed = attacks.filter((attack) => findingsOf(observe({ url: `/items?q=${encodeURIComponent(attack.toWellFormed())}` })).some(({ finding }) => finding.text !== undefined && formOfShape(shapeOf(finding, finding.text)) !== null))
  t.same(formed, [])
  t.end()
})

t.test('structure and what a client does over time cannot be allowed, nor what later rules call certain', (t) => {
  const flood = observation({ url: '/graphql', route: '/graphql', method: 'POST', headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Content-Type', 'application/json'], body: Buffer.from(JSON.stringify({ query: `{ ${Array.from({ length: 99 }, (_, i) => `a${i}: me { tier }`).join(' ')} }` })) })
  const framing = observation({ headers: ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Content-Length', '3', 'Transfer-Encoding', 'chunked'] })
  const busy = observation({ history: { ...observation().history!, exhausts600s: 3, failedLogins600s: 9 } })
  for (const one of [flood, framing, busy]) {
    t.ok(scoreOf(one, STRICT) >= 40)
    t.equal(scoreOf(one, allowing(one)), scoreOf(one, STRICT))
  }
  const name = { rule: 'shape.odd', grade: 'likely' } as const
  t.not(shapeOf(name, "O'Brien"), shapeOf({ ...name, grade: 'certain' }, "O'Brien"))
  t.end()
})

t.test('a request that has no allowances is scored without a look at any', (t) => {
  const policy = allowing(asked('q', UNION))
  const plain = observation({ url: '/elsewhere?q=a', route: '/elsewhere' })
  t.same({ ...scoreObservation(plain, policy), policyVersion: '' }, { ...scoreObservation(plain, STRICT), policyVersion: '' })
  t.not(policy.version, STRICT.version)
  t.equal(withAllowances(policy, []).version, STRICT.version)
  t.end()
})
