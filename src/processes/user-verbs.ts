import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Json } from '../std/json.ts'
import { OPERATOR } from './verbs.ts'

/** Verbs of `neko users`: what the operator does for somebody who cannot come in. */
export default fp(async (app: FastifyInstance) => {
  app.control.handle('users password', async (args) => {
    const { person, password } = await app.identity.resetPassword(nameOf(args), OPERATOR)
    return {
      text: [
        `one-time password of ${person.username}: ${password}`,
        'It is shown this once, and opens nothing but changePassword. All sessions have ended; API keys stay.',
        ...noteOf(person)
      ].join('\n'),
      username: person.username,
      password,
      disabled: person.disabled
    }
  })
  app.control.handle('users unlock', async (args) => {
    const person = await app.identity.personOf(nameOf(args))
    const target = `user:${person.id}`
    const about = { scope: 'USER' as const, value: person.id }
    const { items } = await app.decisions.list(about, { first: DECISIONS_MAX, after: null })
    const against = items.filter(({ action }) => action !== 'ALLOW')
    await app.audit.durable({
      category: 'auth',
      type: 'user.unlock',
      actor: OPERATOR.actor,
      target,
      outcome: 'ok',
      details: { origin: OPERATOR.origin, decisions: against.length }
    })
    for (const { id } of against) await app.decisions.remove(id, OPERATOR.actor)
    // Tries are counted under the account's name, holds and limits under the user's: in all processes.
    const account = await app.identity.accountOf(person.id)
    for (const client of [target, ...account === null ? [] : [account]]) app.limits.forget(client)
    app.clients.forget(target)
    return {
      text: [
        `unlocked: ${person.username} (${against.length} decisions removed; failed logins and limits forgotten)`,
        ...noteOf(person)
      ].join('\n'),
      username: person.username,
      decisions: against.map(({ id }) => id),
      disabled: person.disabled
    }
  })
}, {
  name: 'user-verbs',
  dependencies: ['processes', 'identity', 'decisions', 'limits', 'clients', 'audit']
})

/** Of one user there stand one or two. */
const DECISIONS_MAX = 100

function nameOf (args: Json): string {
  const { name } = (args ?? {}) as { name?: Json }
  if (typeof name !== 'string' || name === '') throw new NEKO_ERR_INPUT_INVALID('name must be a username')
  return name
}

function noteOf ({ username, disabled }: { username: string, disabled: boolean }): string[] {
  return disabled ? [`${username} is disabled: enableUser lets the user sign in again`] : []
}
