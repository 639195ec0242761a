import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import * as errors from '../../src/errors.ts'
import { bearer, createTestClient, makeKey, PASSWORD, productionEnv, strongKey } from '../e2e/client.ts'
import { until } from '../processes/load.ts'
import { spawnServer, startServer } from '../server.ts'
import { newHolder } from '../transaction/doors.ts'
import { openApp, replace, type TestApp } from '../transaction/app.ts'
import { connect } from './websocket/client.ts'

/**
 * What the operator must mend is said to the operator: callers in production see no path, host, address or word of a
 * driver, whichever error has it, whichever way they came.
 */
const SECRETS = ['/srv/private/neko.db', 'mongodb://db.internal:27017/?authSource=x (ECONNREFUSED 10.9.8.7:27017)']
const JSON_TYPE = { 'content-type': 'application/json' }
const SAMPLE = JSON.stringify({ requests: [{ method: 'GET', url: '/' }] })
const HEALTH = '{ health { status } }'
const LOGIN = 'mutation { login(username: "admin", password: "not the pass phrase at all") { accessToken } }'

t.jobs = 3

type Thrown = Error & { code: string, statusCode?: number }
type Make = new (...args: string[]) => Thrown

/** Each error that answers a failure of ours, with what it must not say in its arguments and its cause. */
function plantedErrors (): Thrown[] {
  const ours = Object.entries(errors).filter(([name]) => name.startsWith('NEKO_ERR_')).map(([, made]) => made as unknown as Make)
  const own = ours.filter((Own) => new Own('1', '1').statusCode! >= 500).map((Own) => {
    const isOperators = new Own('1', '1').statusCode === 500
    return Object.assign(new Own(...isOperators ? SECRETS : ['1', '1']), { cause: new Error(SECRETS.join(' ')) })
  })
  const foreign = (facts: object): Thrown => Object.assign(new Error(SECRETS.join(' ')), { code: 'EIO' }, facts)
  return [
    ...own,
    foreign({}),
    foreign({ statusCode: 404 }),
    foreign({ errcode: 11 }),
    foreign({ code: 'NEKO_ERR_OF_ANOTHER_VERSION', statusCode: 500 })
  ]
}

const isBare = (text: string): boolean => !/srv|private|neko\.db|mongodb:|internal:|27017|ECONNREFUSED|10\.9\.8|EIO/.test(text)

/** What a caller gets by each way in, as text, while the parts that each of them asks throw the error. */
async function answersTo (t: Test, at: TestApp, { error, key, peer }: { error: Thrown, key: string, peer: Awaited<ReturnType<typeof connect>> }): Promise<Record<string, string>> {
  const client = createTestClient(t, at)
  const fail = (): never => { throw error }
  replace(t, at.app.threads, 'healthy', fail)
  replace(t, at.app, 'assess', fail)
  const [resolver, readiness, route, operation] = await Promise.all([
    client.graphql(HEALTH),
    client.ask('/health/ready'),
    client.ask('/v1/assess', { method: 'POST', headers: { ...JSON_TYPE, 'x-api-key': key }, body: SAMPLE }),
    peer.ask(HEALTH)
  ])
  return { resolver: resolver.text, readiness: readiness.text, route: route.text, operation: JSON.stringify(operation) }
}

t.test('no error shows a path, a host or a word of a driver, thrown behind any way in', async (t) => {
  const at = await openApp(t, { NODE_ENV: 'production', JWT_SECRET: strongKey(), AUDIT_SIGNING_KEY: strongKey() })
  const { key } = await newHolder(at.app, ['assess'])
  const peer = await (await connect(t, at)).init()
  for (const error of plantedErrors()) {
    await t.test(`${error.code} ${error.statusCode ?? ''}`, async (t) => {
      at.takeLines()
      const answers = await answersTo(t, at, { error, key, peer })
      for (const [way, text] of Object.entries(answers)) {
        t.ok(isBare(text), `${way}: ${text}`)
        t.match(text, /NEKO_ERR_/, `${way} has a code`)
      }
      if ((error.statusCode ?? 500) !== 500) return
      const lines = at.takeLines().filter(({ level }) => level === 'error')
      t.equal(lines.length, 4, 'the log has each')
      t.ok(lines.every((line) => typeof line.requestId === 'string' && JSON.stringify(line).includes(SECRETS[0]!)), 'whole, and of which request')
    })
  }
})

t.test('the reference shows what callers see of the errors that are the operator\'s', (t) => {
  const reference = readFileSync(new URL('../../deploy/reference.md', import.meta.url), 'utf8')
  for (const error of plantedErrors().filter(({ code, statusCode }) => statusCode === 500 && code in errors)) {
    t.ok(reference.includes(`| \`${error.code}\` | 500 | ${errors.shownMessage(error)} |`), error.code)
  }
  t.end()
})

/** Noise in all pages but the first, once what was written lies in them. */
function damage (file: string): void {
  const db = new DatabaseSync(file, { timeout: 10_000 })
  // Whoever has pages in memory reads them again after a change of another's.
  db.exec('CREATE TABLE other (a); PRAGMA wal_checkpoint(TRUNCATE)')
  const descriptor = openSync(file, 'r+')
  for (let page = 1; page < fstatSync(descriptor).size / 4096; page++) writeSync(descriptor, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096)
  closeSync(descriptor)
  db.close()
}

t.test('a database that is damaged while the server runs is named in the log and nowhere else', { skip: process.env.NEKO_TEST_STORE === 'mongodb' && 'no file of ours' }, async (t) => {
  const env = productionEnv()
  const server = await startServer(t, { env })
  const client = createTestClient(t, server)
  const { key } = await makeKey(client.as(bearer((await client.login('admin', PASSWORD)).accessToken)), ['assess'])
  const peer = await (await connect(t, server)).init()
  damage(join(server.dataDir, 'neko.db'))

  const login = await client.graphql(LOGIN)
  t.equal(login.status, 200, 'an execution error like any other')
  t.match(login.json, { errors: [{ message: 'The store is damaged: restore a backup', extensions: { code: 'NEKO_ERR_STORE_CORRUPT' } }] })
  const answers = [
    login.text,
    JSON.stringify(await peer.ask(LOGIN)),
    ...await Promise.all([
      client.graphql('{ threatActors(first: 1) { nodes { id } } }'),
      client.graphql('{ stats { requests } health { status checks { name detail } } }'),
      client.ask('/health/ready'),
      client.ask('/v1/assess', { method: 'POST', headers: JSON_TYPE, body: SAMPLE }),
      client.ask('/v1/assess', { method: 'POST', headers: { ...JSON_TYPE, 'x-api-key': key }, body: SAMPLE }),
      client.ask('/v1/assess', { method: 'POST', headers: { ...JSON_TYPE, 'x-api-key': key.slice(0, -8) + 'AAAAAAAA' }, body: SAMPLE })
    ]).then((replies) => replies.map(({ text }) => text))
  ]
  for (const text of answers) t.notOk(text.includes(server.dataDir) || /neko\.db|malformed|SQLITE/i.test(text), text)
  // Work behind the requests may find the damage first: its lines have no request.
  const ofLogin = await until('the line of the login', () => server.logs()
    .filter(({ err }) => (err as { code?: string } | undefined)?.code === 'NEKO_ERR_STORE_CORRUPT')
    .find(({ requestId }) => requestId === login.headers['x-request-id']), 20_000)
  t.match(JSON.stringify(ofLogin), join(server.dataDir, 'neko.db'), 'the line of the request that was refused has it whole')

  await server.kill()
  const again = spawnServer(t, { dataDir: server.dataDir, env })
  t.equal((await again.ended).code, 70)
  t.match(again.output(), join(server.dataDir, 'neko.db'), 'the line of a start that ends names the file')
})
