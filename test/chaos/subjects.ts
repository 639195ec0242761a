import { PASSWORD } from '../e2e/client.ts'
import type { Dice } from '../load/ordinary-bodies.ts'
import type { Asker, History, Look, Subject } from './history.ts'

/**
 * What the load works on, and how a process is asked in which state it holds each. Each has a value that occurs once in
 * a run. What an outage does not allow (sessions, persons, incidents) is made while everything is there.
 */
export interface Trial {
  asker: Asker
  history: History
  dice: Dice
  /** Headers of an administrator. */
  admin: Record<string, string>
  cycle (): number
  /** 0, 1, 2 ... */
  next (): number
}

type Headers = Record<string, string>

/** Whom trial requests come from: never one that a decision of the trial is about. */
export const from = (n: number): Headers => ({ 'x-forwarded-for': `203.0.113.${1 + n % 200}` })
const ATTACKERS = '192.0.2.'
const ATTACK = "1' UNION SELECT name, password FROM users-- "
/** Without the sign, and with it; between them lies the cheap score of a thread that was late, which says nothing. */
const ALLOWED_SCORE_MAX = 30
const ATTACK_SCORE_MIN = 75

export function addAddress ({ history, cycle, next }: Trial): Subject {
  const n = next()
  const address = `198.${18 + (n >> 15)}.${(n >> 7) & 255}.${1 + (n & 127)}`
  return history.add({
    kind: 'address',
    name: address,
    first: 'open',
    cycle: cycle(),
    look: async (asker) => {
      const { status } = await asker.graphql('{ __typename }', {}, { 'x-forwarded-for': address })
      return status === 403 ? 'blocked' : status === 200 ? 'open' : null
    }
  })
}

/** The role with which a credential is held, or that it ended. */
const heldAs = (headers: () => Headers): Look => async (asker) => {
  const { status, data } = await asker.graphql('{ me { role } }', {}, headers())
  if (status === 401) return 'ended'
  return status === 200 && data !== null ? (data.me as { role: string | null }).role ?? 'held' : null
}

const credentials = new WeakMap<Subject, Headers>()
export const credentialOf = (subject: Subject): Headers => credentials.get(subject)!

/** A session of a person who has several; of a logged-out one the token is asked. */
export async function openSession (trial: Trial, username: string): Promise<void> {
  const headers = await signIn(trial, username)
  if (headers === null) return
  const { sid } = JSON.parse(Buffer.from(headers.authorization!.split('.')[1]!, 'base64url').toString()) as { sid: string }
  const subject = trial.history.add({ kind: 'session', name: sid, first: 'ANALYST', cycle: trial.cycle(), look: heldAs(() => headers) })
  credentials.set(subject, headers)
}

/** A person of their own, signed in: for roles, passwords and disabling. */
export async function openPerson (trial: Trial): Promise<void> {
  const name = `person-${trial.next()}`
  const id = await makePerson(trial, name)
  const headers = id === null ? null : await signIn(trial, name)
  if (headers === null) return
  const subject = trial.history.add({ kind: 'person', name, first: 'ANALYST', cycle: trial.cycle(), look: heldAs(() => headers) })
  subject.id = id
  credentials.set(subject, headers)
}

export async function makePerson ({ asker, admin }: Trial, username: string): Promise<string | null> {
  const { data } = await asker.graphql('mutation ($u: String!, $p: String!) { createUser(username: $u, password: $p, role: ANALYST) { id } }', { u: username, p: PASSWORD }, admin)
  return (data?.createUser as { id: string } | null | undefined)?.id ?? null
}

/** From one address for each person, so that nobody is a stranger twice. */
async function signIn ({ asker }: Trial, username: string): Promise<Headers | null> {
  const address = from([...username].reduce((sum, character) => sum * 31 + character.charCodeAt(0), 7) % 199)
  const { data } = await asker.graphql('mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }', { u: username, p: PASSWORD }, address)
  const tokens = data?.login as { accessToken: string } | null | undefined
  return tokens === null || tokens === undefined ? null : { authorization: `Bearer ${tokens.accessToken}`, ...address }
}

/** Its text is told by the acknowledgement alone. */
export function addKey ({ history, cycle, next }: Trial): Subject {
  const subject: Subject = history.add({
    kind: 'key',
    name: `key ${next()}`,
    first: 'ended',
    cycle: cycle(),
    look: async (asker) => {
      const headers = credentials.get(subject)
      return headers === undefined ? null : await heldAs(() => headers)(asker)
    }
  })
  return subject
}

export function keepKey (subject: Subject, key: string): void {
  credentials.set(subject, { 'x-api-key': key, ...from(subject.name.length) })
}

/** Its entry in the list of users is looked at by lists.ts. */
export function addUser ({ history, cycle, next }: Trial): Subject {
  return history.add({ kind: 'user', name: `user-${next()}`, first: 'absent', cycle: cycle(), look: async () => null })
}

export function addActor ({ history, cycle, next }: Trial): Subject {
  const name = `Chaos ${next()} Panther`
  return history.add({
    kind: 'actor',
    name,
    first: 'absent',
    cycle: cycle(),
    look: async (asker) => {
      const { data } = await asker.graphql('query ($n: String) { threatActors(search: $n, first: 5) { nodes { name motivation } } }', { n: name }, from(0))
      if (data === null) return null
      const found = (data.threatActors as { nodes: Array<{ name: string, motivation: string }> }).nodes.filter((actor) => actor.name === name)
      return found.length === 0 ? 'absent' : found.map(({ motivation }) => motivation).join(' and ')
    }
  })
}

/** An attack of its own address: it opens an incident and leaves a receipt, whose signs can be allowed at its place. */
export async function openAttack (trial: Trial): Promise<void> {
  const { history, cycle, next, asker } = trial
  const n = next()
  const path = `/reports?field${n}=${encodeURIComponent(ATTACK)}`
  const { receipt } = await asker.ask(path, { 'x-forwarded-for': `${ATTACKERS}${1 + n % 250}` })
  history.add({
    kind: 'allowance',
    name: receipt,
    first: 'absent',
    cycle: cycle(),
    look: async (asker) => {
      const m = next()
      const { score, status } = await asker.ask(path, { 'x-forwarded-for': `100.${64 + (m >> 16)}.${(m >> 8) & 255}.${m & 255}` })
      if (status !== 404 || (score > ALLOWED_SCORE_MAX && score < ATTACK_SCORE_MIN)) return null
      return score <= ALLOWED_SCORE_MAX ? 'allowed' : 'absent'
    }
  })
}

/** Incidents that attacks opened, which appear some moments after them. */
export async function findIncidents ({ asker, history, admin, cycle }: Trial): Promise<void> {
  const { data } = await asker.graphql('{ incidents(first: 100, status: OPEN) { nodes { id attacker } } }', {}, admin)
  const { nodes } = (data?.incidents ?? { nodes: [] }) as { nodes: Array<{ id: string, attacker: string }> }
  for (const { id, attacker } of nodes) {
    if (!attacker.startsWith(`ip:${ATTACKERS}`) || history.subjects.some((subject) => subject.name === id)) continue
    history.add({
      kind: 'incident',
      name: id,
      first: 'OPEN',
      cycle: cycle(),
      look: async (asker) => {
        const answer = await asker.graphql('query ($id: ID!) { incident(id: $id) { status } }', { id }, admin)
        return (answer.data?.incident as { status: string } | null | undefined)?.status ?? null
      }
    })
  }
}
