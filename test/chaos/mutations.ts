import { setTimeout as sleep } from 'node:timers/promises'
import { PASSWORD } from '../e2e/client.ts'
import type { Answer, Outcome, Subject } from './history.ts'
import { addActor, addAddress, addKey, addUser, credentialOf, from, keepKey, type Trial } from './subjects.ts'

/** The mutations of the load: each works on one subject that nobody else works on, and notes what it was told. */
export type Mutation = (trial: Trial) => Promise<void>

/** A connection that never stood carried nothing, and is no entry. */
const NEVER_STOOD = 'ECONNREFUSED'
/** Between two tries while nobody listens. */
const AWAY_MS = 200
export const NEW_PASSWORD = `${PASSWORD} anew`

interface Call {
  query: string
  variables: object
  headers?: Record<string, string>
  /** The state that it leads to. */
  to: string
  event: string
}

/** Notes what came of it. The field that it answered, null when it was not acknowledged. */
async function act <T> (trial: Trial, subject: Subject, call: Call): Promise<T | null> {
  const { history, asker, admin } = trial
  subject.isBusy = true
  const atMs = history.nowMs()
  const headers = call.headers ?? { ...admin, ...from(trial.next()) }
  const { data, ...told } = await asker.graphql(call.query, call.variables, headers).then(judged, broken)
  subject.isBusy = false
  if (told.code === NEVER_STOOD) {
    await sleep(AWAY_MS)
    return null
  }
  const doneMs = history.nowMs()
  // A database that went while it was asked may have done it: only one that is known to be away refuses at once.
  const isLost = told.code === 'NEKO_ERR_STORE_UNAVAILABLE' && doneMs - atMs > REFUSED_MS_MAX
  subject.entries.push({ to: call.to, event: call.event, atMs, doneMs, ...told, ...isLost ? { outcome: 'unknown' as const } : {} })
  return data === null ? null : Object.values(data)[0] as T
}

interface Told { outcome: Outcome, code: string | null, receipt: string | null, data: Record<string, unknown> | null }

const REFUSED_MS_MAX = 1_000
/** Codes that say nothing of whether it was done. */
const UNDECIDED = new Set(['NEKO_ERR_TIMEOUT', 'NEKO_ERR_INTERNAL'])

function judged ({ data, code, receipt, status }: Answer): Told {
  if (code === null && data !== null) return { outcome: 'acknowledged', code, receipt, data }
  const isUndecided = code === null || UNDECIDED.has(code) || code.startsWith('untyped')
  return { outcome: isUndecided ? 'unknown' : 'refused', code: code ?? String(status), receipt, data: null }
}

/** Whether it was done, nobody said. */
function broken (error: Error & { code?: string }): Told {
  return { outcome: 'unknown', code: error.code ?? error.message, receipt: null, data: null }
}

/** One that nobody works on and whose state is known. */
function pick ({ history, dice }: Trial, kind: string, ...states: string[]): Subject | null {
  const found = history.of(kind, ...states)
  return found.length === 0 ? null : dice.of(found)
}

const block: Mutation = async (trial) => {
  const subject = addAddress(trial)
  const decision = await act<{ id: string }>(trial, subject, {
    query: 'mutation ($v: String!) { addDecision(scope: IP, value: $v, action: BLOCK, reason: "chaos") { id } }',
    variables: { v: subject.name },
    to: 'blocked',
    event: 'decision.add'
  })
  if (decision !== null) subject.id = decision.id
}

const lift: Mutation = async (trial) => {
  const subject = pick(trial, 'address', 'blocked')
  if (subject === null) return await block(trial)
  await act(trial, subject, {
    query: 'mutation ($id: ID!) { removeDecision(id: $id) { id } }',
    variables: { id: subject.id },
    to: 'open',
    event: 'decision.remove'
  })
}

const logout: Mutation = async (trial) => {
  const subject = pick(trial, 'session', 'ANALYST')
  if (subject === null) return await block(trial)
  await act(trial, subject, {
    query: 'mutation { logout }',
    variables: {},
    headers: credentialOf(subject),
    to: 'ended',
    event: 'session.logout'
  })
}

export const createKey: Mutation = async (trial) => {
  const subject = addKey(trial)
  const made = await act<{ key: string, apiKey: { id: string } }>(trial, subject, {
    query: 'mutation ($n: String!) { createApiKey(name: $n, scopes: ["read"]) { key apiKey { id } } }',
    variables: { n: subject.name },
    to: 'held',
    event: 'key.create'
  })
  if (made === null) return
  subject.id = made.apiKey.id
  keepKey(subject, made.key)
}

const revokeKey: Mutation = async (trial) => {
  const subject = pick(trial, 'key', 'held')
  if (subject === null) return await createKey(trial)
  await act(trial, subject, {
    query: 'mutation ($id: ID!) { revokeApiKey(id: $id) { id } }',
    variables: { id: subject.id },
    to: 'ended',
    event: 'key.revoke'
  })
}

const createUser: Mutation = async (trial) => {
  const subject = addUser(trial)
  await act(trial, subject, {
    query: 'mutation ($u: String!, $p: String!) { createUser(username: $u, password: $p, role: VIEWER) { id } }',
    variables: { u: subject.name, p: PASSWORD },
    to: 'there',
    event: 'user.create'
  })
}

const setRole: Mutation = async (trial) => {
  const subject = pick(trial, 'person', 'ANALYST', 'VIEWER')
  if (subject === null) return await block(trial)
  const to = subject.is('ANALYST') ? 'VIEWER' : 'ANALYST'
  await act(trial, subject, {
    query: 'mutation ($id: ID!, $r: Role!) { setUserRole(id: $id, role: $r) { role } }',
    variables: { id: subject.id, r: to },
    to,
    event: 'user.role'
  })
}

const disableUser: Mutation = async (trial) => {
  const subject = pick(trial, 'person', 'ANALYST', 'VIEWER')
  if (subject === null) return await block(trial)
  await act(trial, subject, {
    query: 'mutation ($id: ID!) { disableUser(id: $id) { disabled } }',
    variables: { id: subject.id },
    to: 'ended',
    event: 'user.disable'
  })
}

const changePassword: Mutation = async (trial) => {
  const subject = pick(trial, 'person', 'ANALYST', 'VIEWER')
  if (subject === null) return await block(trial)
  await act(trial, subject, {
    query: 'mutation ($o: String!, $n: String!) { changePassword(currentPassword: $o, newPassword: $n) }',
    variables: { o: PASSWORD, n: NEW_PASSWORD },
    headers: credentialOf(subject),
    to: 'ended',
    event: 'user.password'
  })
}

const addThreatActor: Mutation = async (trial) => {
  const subject = addActor(trial)
  const actor = await act<{ id: string }>(trial, subject, {
    query: 'mutation ($n: String!) { addThreatActor(input: { name: $n, motivation: "first" }) { id } }',
    variables: { n: subject.name },
    to: 'first',
    event: 'actor.add'
  })
  if (actor !== null) subject.id = actor.id
}

const updateThreatActor: Mutation = async (trial) => {
  const subject = pick(trial, 'actor', 'first')
  if (subject === null) return await addThreatActor(trial)
  await act(trial, subject, {
    query: 'mutation ($id: ID!) { updateThreatActor(id: $id, input: { motivation: "second" }) { id } }',
    variables: { id: subject.id },
    to: 'second',
    event: 'actor.update'
  })
}

const removeThreatActor: Mutation = async (trial) => {
  const subject = pick(trial, 'actor', 'first', 'second')
  if (subject === null) return await addThreatActor(trial)
  await act(trial, subject, {
    query: 'mutation ($id: ID!) { removeThreatActor(id: $id) { id } }',
    variables: { id: subject.id },
    to: 'absent',
    event: 'actor.remove'
  })
}

const allow: Mutation = async (trial) => {
  const subject = pick(trial, 'allowance', 'absent')
  if (subject === null || subject.id !== null) return await block(trial)
  const marked = await act<{ allowances: Array<{ id: string, grade: string }> }>(trial, subject, {
    query: 'mutation ($id: ID!) { markFalsePositive(assessmentId: $id, force: true) { allowances { id grade } } }',
    variables: { id: subject.name },
    to: 'allowed',
    event: 'falsePositive.mark'
  })
  if (marked !== null) subject.id = marked.allowances.find(({ grade }) => grade === 'certain')?.id ?? null
}

/** The sign that decides: the score is that of an attack again. */
const disallow: Mutation = async (trial) => {
  const subject = pick(trial, 'allowance', 'allowed')
  if (subject === null) return await allow(trial)
  await act(trial, subject, {
    query: 'mutation ($id: ID!) { removeAllowance(id: $id) { id } }',
    variables: { id: subject.id },
    to: 'absent',
    event: 'allowance.remove'
  })
}

const seeTo: Mutation = async (trial) => {
  const subject = pick(trial, 'incident', 'OPEN', 'ACKNOWLEDGED')
  if (subject === null) return await block(trial)
  const isOpen = subject.is('OPEN')
  await act(trial, subject, {
    query: `mutation ($id: ID!) { ${isOpen ? 'acknowledge' : 'resolve'}Incident(id: $id) { status } }`,
    variables: { id: subject.name },
    to: isOpen ? 'ACKNOWLEDGED' : 'RESOLVED',
    event: isOpen ? 'incident.acknowledged' : 'incident.resolved'
  })
}

/** What the load draws from: the frequent ones several times. */
export const MUTATIONS: readonly Mutation[] = [
  ...Array<Mutation>(6).fill(block),
  ...Array<Mutation>(5).fill(lift),
  ...Array<Mutation>(4).fill(logout),
  ...Array<Mutation>(2).fill(createKey),
  ...Array<Mutation>(4).fill(revokeKey),
  createUser,
  setRole,
  setRole,
  disableUser,
  changePassword,
  addThreatActor,
  updateThreatActor,
  removeThreatActor,
  allow,
  disallow,
  seeTo,
  seeTo
]
