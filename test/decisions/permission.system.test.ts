import t from 'tap'
import type { Action, DecisionScope } from '../../src/decisions/shapes.ts'
import type { Principal, Role } from '../../src/identity/shapes.ts'
import { openApp } from '../transaction/app.ts'
import { ADMIN, newHolder } from '../transaction/doors.ts'

/** Who may decide about whom: nobody shuts out those who may do more, or most of the internet. */
const PASSWORD = 'a long pass phrase of the contract suite'
const RUN = 'mutation ($id: ID!, $dry: Boolean) { runPlaybook(name: CRITICAL_THREAT_RESPONSE, assessmentId: $id, dryRun: $dry) { result } }'
const ME = '{ me { username } }'

t.test('people and keys decide about those who may no more than they, and about narrow ranges', async (t) => {
  const { app, url } = await openApp(t)
  interface Person { id: string, principal: Principal, ask (query: string, variables?: object): Promise<{ status: number, receipt: string, text: string }> }
  const create = async (username: string, role: Role): Promise<string> => (await app.identity.createUser(ADMIN, { username, password: PASSWORD, role })).id
  const join = async (username: string, role: Role): Promise<Person> => {
    const id = await create(username, role)
    const { accessToken } = await app.identity.login({ username, password: PASSWORD, address: '192.0.2.10' })
    const credential = await app.identity.authenticateToken(accessToken)
    if (credential.state !== 'held') throw new Error('no login')
    const headers = { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'accept-language': 'en', 'x-forwarded-for': '192.0.2.10' }
    return {
      id,
      principal: credential.principal,
      async ask (query, variables = {}) {
        const reply = await fetch(`${url}/graphql`, { method: 'POST', body: JSON.stringify({ query, variables }), headers })
        return { status: reply.status, receipt: reply.headers.get('x-neko-assessment')!, text: await reply.text() }
      }
    }
  }
  const [boss, analyst, viewer, peerId] = await Promise.all([join('boss', 'ADMIN'), join('analyst', 'ANALYST'), join('viewer', 'VIEWER'), create('peer', 'ANALYST')])
  const key = async (...scopes: string[]): Promise<Principal> => (await newHolder(app, scopes)).principal
  const [managing, deciding, all] = await Promise.all([key('read', 'manage'), key('decide'), key('read', 'decide', 'manage')])
  const add = async (principal: Principal, scope: DecisionScope, value: string, action: Action, force = false): Promise<string> => {
    const maker = { principal, address: '192.0.2.10' }
    try {
      const { id } = await app.decisions.add({ scope, value, action, ttlSeconds: 60, reason: 'r' }, { origin: principal.clientKey, maker, force })
      await app.decisions.remove(id, 'user:test')
      return 'made'
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  const targets: Array<[scope: DecisionScope, value: string, isAbove: boolean, isAboveKey: boolean]> = [
    ['USER', boss.id, true, true], ['SESSION', boss.principal.sessionId!, true, true], ['KEY', managing.id, true, true],
    ['USER', peerId, false, true], ['USER', viewer.id, false, false], ['SESSION', viewer.principal.sessionId!, false, false],
    ['KEY', deciding.id, false, false], ['USER', 'us_nobody', false, false], ['KEY', 'nobody', false, false], ['KEY', '0123456789abcdef', false, false], ['SESSION', 'se_nobody', false, false]
  ]
  for (const [scope, value, isAbove, isAboveKey] of targets) {
    for (const [name, maker, isRefused] of [['analyst', analyst.principal, isAbove], ['key', deciding, isAboveKey], ['administrator', ADMIN, false], ['key that manages', all, false]] as const) {
      for (const action of ['BLOCK', ...(isRefused ? ['CHALLENGE' as const] : [])] as const) t.equal(await add(maker, scope, value, action, true), isRefused ? 'NEKO_ERR_FORBIDDEN' : 'made', `${name}: ${action} ${scope} ${value}`)
    }
  }

  for (const [value, isWide] of [['0.0.0.0/0', true], ['198.0.0.0/15', true], ['198.51.0.0/16', false], ['::/0', true], ['2001:db8::/31', true], ['2001:db8::/32', false], ['::ffff:0.0.0.0/96', true], ['::ffff:198.51.0.0/112', false]] as const) {
    for (const action of ['BLOCK', 'CHALLENGE', 'ALLOW'] as const) {
      t.equal(await add(analyst.principal, 'RANGE', value, action, true), isWide ? 'NEKO_ERR_FORBIDDEN' : 'made', `analyst: ${action} ${value}`)
      if (isWide) t.match(await add(ADMIN, 'RANGE', value, action), /INPUT_INVALID|DECISION_SELF/, `administrator: ${action} ${value}`)
      if (isWide && action === 'BLOCK') t.equal(await add(ADMIN, 'RANGE', value, action, true), 'made', `administrator, by force: ${value}`)
    }
  }

  const { receipt } = await boss.ask(ME)
  for (const dry of [true, false]) t.match(await analyst.ask(RUN, { id: receipt, dry }), { status: 403, text: /This needs the scope manage/ })
  t.match(await analyst.ask('mutation ($v: String!) { addDecision(scope: USER, value: $v, action: BLOCK, reason: "r") { id } }', { v: boss.id }), { status: 403, text: /This needs the scope manage, against a user that may do more than you/ })
  t.equal((await boss.ask(ME)).status, 200, 'nothing came of it')
  t.match(await app.playbooks.runOn('CRITICAL_THREAT_RESPONSE', receipt, { dryRun: true, actor: ADMIN.clientKey, maker: ADMIN }), { result: 'simulated' })
  t.match(await analyst.ask(RUN, { id: (await viewer.ask(ME)).receipt, dry: false }), { status: 200, text: /done/ })
  t.equal((await viewer.ask(ME)).status, 403)
  await app.identity.disableUser(ADMIN, boss.id)
  t.equal(await add(analyst.principal, 'USER', boss.id, 'BLOCK'), 'made', 'who may nothing any more')
})
