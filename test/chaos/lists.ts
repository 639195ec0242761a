import { told, type Asker, type History, type Subject } from './history.ts'

/** What the store lists, held against the history: nothing twice, nothing that was refused, all that was acknowledged. */
const PAGE = 100
const PAGES_MAX = 100

interface Page { nodes: unknown[], pageInfo: { hasNextPage: boolean, endCursor: string | null } }

/** All nodes of a connection. */
export async function allOf <T> (asker: Asker, field: string, { nodes, headers, where = '' }: { nodes: string, headers: Record<string, string>, where?: string }): Promise<T[]> {
  const found: T[] = []
  let after: string | null = null
  for (let page = 0; page < PAGES_MAX; page++) {
    const { data, code, status } = await asker.graphql(`query ($after: String) { ${field}(first: ${PAGE}, after: $after${where}) { nodes { ${nodes} } pageInfo { hasNextPage endCursor } } }`, { after }, headers)
    if (data === null || data[field] === null) throw new Error(`${field} cannot be read: ${status} ${code}`)
    const read = data[field] as Page
    found.push(...read.nodes as T[])
    if (!read.pageInfo.hasNextPage) return found
    after = read.pageInfo.endCursor
  }
  throw new Error(`${field} has more than ${PAGES_MAX} pages`)
}

interface Listed { kind: string, state: (subject: Subject) => string | null, counts: Map<string, number> }

export async function listProblems (asker: Asker, history: History, headers: Record<string, string>): Promise<string[]> {
  const decisions = (await allOf<{ value: string, simulated: boolean }>(asker, 'decisions', { nodes: 'value simulated', headers })).filter(({ simulated }) => !simulated)
  const users = await allOf<{ username: string, role: string, disabled: boolean }>(asker, 'users', { nodes: 'username role disabled', headers })
  const keys = await allOf<{ name: string, revokedAt: string | null }>(asker, 'apiKeys', { nodes: 'name revokedAt', headers })
  const lists: Listed[] = [
    { kind: 'address', state: () => 'blocked', counts: countOf(decisions.map(({ value }) => value)) },
    { kind: 'user', state: () => 'there', counts: countOf(users.map(({ username }) => username)) },
    { kind: 'key', state: () => 'held', counts: countOf(keys.filter(({ revokedAt }) => revokedAt === null).map(({ name }) => name)) }
  ]
  return [
    ...lists.flatMap((list) => problemsOf(history, list)),
    ...doubled(users.map(({ username }) => `user ${username}`)),
    ...doubled(keys.map(({ name }) => name))
  ]
}

function problemsOf (history: History, { kind, state, counts }: Listed): string[] {
  return history.subjects.filter((subject) => subject.kind === kind).flatMap((subject) => {
    const states = subject.states()
    const listed = state(subject)!
    const count = counts.get(subject.name) ?? 0
    const least = states.has(listed) && states.size === 1 ? 1 : 0
    const most = states.has(listed) ? 1 : 0
    return count >= least && count <= most ? [] : [`the store lists it ${count} times as ${listed}\n  ${told(subject)}`]
  })
}

function countOf (names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

function doubled (names: readonly string[]): string[] {
  return [...countOf(names)].flatMap(([name, count]) => count > 1 ? [`${name} is listed ${count} times`] : [])
}
