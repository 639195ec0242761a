import t from 'tap'
import { userCollection } from '../../src/identity/collections.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { SCOPES_BY_ROLE, type Principal, type Role, type Scope, type User } from '../../src/identity/shapes.ts'
import { ADDRESS, held, openRoom } from './room.ts'

/**
 * Random changes of people and keys beside a model that knows the rule alone: after each, every secret ever shown is
 * tried in two processes, and has what the model says, which is never more than anybody has who stands behind it.
 */
const PASSWORD = 'a phrase that is long'
const ROLES: Role[] = ['VIEWER', 'ANALYST', 'ADMIN', 'ADMIN']
const SCOPES: Scope[] = ['read', 'assess', 'decide', 'manage']
const STEPS = 80

interface Person { id: string, name: string, role: Role, disabled: boolean, life: number, principal: Principal | null }
interface Backing { people: Array<{ person: Person, life: number }>, keys: Key[] }
interface Key extends Backing { id: string, scopes: Scope[], revoked: boolean, secrets: Secret[] }
interface Secret extends Backing { text: string, key: Key }

function mulberry (seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

function expected ({ key, people, keys }: Secret): Scope[] | 'refused' {
  const backings = [...key.people, ...people]
  if (key.revoked || [...key.keys, ...keys].some(({ revoked }) => revoked)) return 'refused'
  if (backings.some(({ person, life }) => person.disabled || person.life !== life)) return 'refused'
  return key.scopes.filter((scope) => backings.every(({ person }) => SCOPES_BY_ROLE[person.role].includes(scope)))
}

for (const seed of [11, 4242]) {
  t.test(`no key ever has more than its maker has then (seed ${seed})`, async (t) => {
    const random = mulberry(seed)
    const pick = <T>(all: readonly T[]): T => all[random(all.length)] as T
    const { identity, sibling, admin, storage } = await openRoom(t)
    const processes = [identity, await sibling()]
    const root = await admin()
    const people: Person[] = []
    const secrets: Secret[] = []

    async function signIn (person: Person): Promise<void> {
      const { accessToken } = await identity.login({ username: person.name, password: PASSWORD, address: ADDRESS })
      person.principal = held(await identity.authenticateToken(accessToken))
    }
    for (const name of ['ann', 'bob', 'eve']) {
      const { id } = await identity.createUser(root, { username: name, password: PASSWORD, role: 'ADMIN' })
      people.push({ id, name, role: 'ADMIN', disabled: false, life: 0, principal: null })
    }
    /** Somebody who may manage now, with what stands behind him; a request may have been let in a moment before. */
    async function actor (process: Identity): Promise<{ by: Principal, backing: Backing } | null> {
      if (secrets.length > 0 && random(2) === 0) {
        const secret = pick(secrets)
        const credential = await process.authenticate({ 'x-api-key': secret.text })
        if (credential.state !== 'held' || !credential.principal.scopes.includes('manage')) return null
        return { by: credential.principal, backing: { people: [...secret.key.people, ...secret.people], keys: [...secret.key.keys, ...secret.keys, secret.key] } }
      }
      const person = pick(people)
      if (person.disabled || person.role !== 'ADMIN') return null
      if (person.principal === null || !identity.holds(person.principal)) await signIn(person)
      return { by: person.principal!, backing: { people: [{ person, life: person.life }], keys: [] } }
    }

    const done = new Map<string, number>()
    async function step (): Promise<void> {
      const process = pick(processes)
      const chosen = await actor(process)
      const { by, backing } = chosen ?? { by: root, backing: { people: [], keys: [] } }
      const person = pick(people)
      const secret = secrets.length === 0 ? null : pick(secrets)
      const what = pick(['role', 'disable', 'enable', 'create', 'create', 'create', 'rotate', 'rotate', 'revoke', 'revoke'])
      if (what === 'role') {
        const role = pick(ROLES)
        await process.setUserRole(by, person.id, role)
        person.role = role
      } else if (what === 'disable') {
        await process.disableUser(by, person.id)
        if (!person.disabled) person.life++
        person.disabled = true
      } else if (what === 'enable') {
        await process.enableUser(by, person.id)
        if (person.disabled) person.life++
        person.disabled = false
      } else if (what === 'create') {
        const scopes = SCOPES.filter((scope) => random(3) > 0 && by.scopes.includes(scope))
        if (scopes.length === 0) return
        const { key: text, apiKey } = await process.createApiKey(by, { name: 'x', scopes, expiresAt: null })
        const key: Key = { ...backing, id: apiKey.id, scopes, revoked: false, secrets: [] }
        secrets.push({ text, key, people: [], keys: [] })
      } else if (what === 'rotate' && secret !== null) {
        const { key: text } = await process.rotateApiKey(by, secret.key.id)
        // Of the older ones only the newest stays.
        const newest = secrets.findLastIndex(({ key }) => key === secret.key)
        for (let i = secrets.length - 1; i >= 0; i--) if (secrets[i]!.key === secret.key && i !== newest) secrets.splice(i, 1)
        secrets.push({ text, key: secret.key, ...backing })
      } else if (what === 'revoke' && secret !== null) {
        await process.revokeApiKey(by, secret.key.id)
        secret.key.revoked = true
      }
      done.set(what, (done.get(what) ?? 0) + 1)
    }

    for (let i = 0; i < STEPS; i++) {
      try {
        await step()
      } catch (error) {
        if (!['NEKO_ERR_INPUT_INVALID', 'NEKO_ERR_FORBIDDEN'].includes((error as { code: string }).code)) throw error
      }
      for (const process of processes) {
        for (const secret of secrets) {
          const credential = await process.authenticate({ 'x-api-key': secret.text })
          const now = credential.state === 'held' ? [...credential.principal.scopes] : credential.state
          const should = expected(secret)
          if (JSON.stringify(now) !== JSON.stringify(should)) return t.fail(`step ${i}: ${now} instead of ${should}`)
        }
      }
      if (await storage.collection<User>(userCollection).count({ role: 'ADMIN', disabled: false }) < 1) return t.fail(`step ${i}: no administrator is left`)
    }
    // What the next start finds marked is what the model says has fallen; nothing comes back with it.
    const later = await sibling()
    for (const secret of secrets) {
      const credential = await later.authenticate({ 'x-api-key': secret.text })
      t.same(credential.state === 'held' ? credential.principal.scopes : credential.state, expected(secret))
    }
    const listed = (await Promise.all(people.map(({ id }) => identity.apiKeysOf(id)))).flat()
    for (const { key } of secrets) if (key.revoked) t.type(listed.find(({ id }) => id === key.id)?.revokedAt ?? 0, 'number')
    t.ok(secrets.length > 6 && (done.get('disable') ?? 0) > 2, `${secrets.length} secrets, ${JSON.stringify([...done])}`)
  })
}
