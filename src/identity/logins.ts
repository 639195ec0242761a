import type { Audit } from '../audit/shapes.ts'
import { NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
import { addressKey } from '../std/ip.ts'
import { retryable } from '../std/retryable.ts'
import type { IssuedTokens } from './issued-tokens.ts'
import type { KnownAddresses } from './known-addresses.ts'
import type { Passwords } from './passwords.ts'
import { requirePasswordBounds } from './passwords.ts'
import type { Revocations } from './revocations.ts'
import { sha256, type Sessions } from './sessions.ts'
import type { Session, SessionTokens } from './shapes.ts'
import type { Tokens } from './tokens.ts'
import type { Users } from './users.ts'

/**
 * Logging in and staying logged in.
 *
 * A stranger can learn one bit here, and only with the password: a user who does not exist, one who is disabled and a
 * wrong password take the same time and get the same answer. Tries are counted before a password is looked at, by
 * address and by account, so that neither many accounts from one address nor many addresses on one account get far.
 * Tries by others on an account never shut out an address that it logged in from before: that one has its own.
 */
/** Its key is `<verb>|<client, account or user>`, so that forgetting one of those also forgets its tries. */
export type CountAttempt = (key: string) => Promise<{ allowed: boolean, retryAfterSeconds: number }>

/** The longest username; longer ones are not looked up, but take their time all the same. */
const USERNAME_CHARACTERS_MAX = 64

export interface Logins {
  /**
   * @throws NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_INPUT_INVALID, NEKO_ERR_OVERLOADED,
   * NEKO_ERR_STORE_UNAVAILABLE
   */
  login (given: { username: string, password: string, address: string }): Promise<SessionTokens>
  /** @throws NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_STORE_UNAVAILABLE */
  refresh (given: { refreshToken: string, address: string }): Promise<SessionTokens>
  /**
   * The name that tries on a user's account are counted under; null for a user who does not exist.
   * @throws NEKO_ERR_STORE_UNAVAILABLE
   */
  accountOf (userId: string): Promise<string | null>
}

interface LoginsOptions {
  users: Users
  sessions: Sessions
  knownAddresses: KnownAddresses
  passwords: Passwords
  tokens: Tokens
  issued: IssuedTokens
  revocations: Revocations
  audit: Audit
  expirationSeconds: number
  countAttempt: CountAttempt
  /** Ends a session everywhere. */
  endSession (session: Session, order: { actor: string, type: string }): Promise<void>
}

export function createLogins (options: LoginsOptions): Logins {
  const { users, sessions, knownAddresses, passwords, tokens, issued, revocations, audit, expirationSeconds } =
    options

  /** How long to wait, 0 when the try may be made. */
  async function tryOn (key: string): Promise<number> {
    const { allowed, retryAfterSeconds } = await options.countAttempt(key)
    return allowed ? 0 : Math.max(1, retryAfterSeconds)
  }

  function refuseWhenLimited (
    retryAfterSeconds: number,
    event: { type: string, actor: string, target: string | null }
  ): void {
    if (retryAfterSeconds === 0) return
    audit.record({ category: 'auth', ...event, outcome: 'refused', details: { reason: 'limit' } })
    throw retryable(new NEKO_ERR_LIMIT_EXCEEDED(String(retryAfterSeconds)), retryAfterSeconds)
  }

  function answer (session: Session, refreshToken: string): SessionTokens {
    const { userId, id: sessionId, generation } = session
    const { token, expiresAt } = tokens.issue({ userId, sessionId, generation })
    issued.note(token, expiresAt)
    return { accessToken: token, refreshToken, expiresInSeconds: expirationSeconds }
  }

  return {
    async login ({ username, password, address }) {
      requirePasswordBounds(password)
      const account = username.slice(0, USERNAME_CHARACTERS_MAX + 1).toLowerCase()
      const actor = `ip:${address}`
      const target = accountKey(account)
      const [ofAccount, ofAddress] = await Promise.all([
        tryOn(`login|${target}`),
        tryOn(`login|ip:${addressKey(address)}`)
      ])
      refuseWhenLimited(ofAddress, { type: 'login', actor, target })
      const user = await users.byName(account.slice(0, USERNAME_CHARACTERS_MAX))
      const exact = user !== null && user.usernameKey === account
      if (ofAccount > 0 && !await knownAddresses.knows(exact ? user.id : null, address)) {
        refuseWhenLimited(ofAccount, { type: 'login', actor, target })
      }
      const { held, outdated } = await passwords.verify(password, exact ? user.passwordHash : null)
      if (!held || !exact || user.disabled) {
        audit.record({ category: 'auth', type: 'login', actor, target, outcome: 'refused' })
        throw new NEKO_ERR_UNAUTHENTICATED()
      }
      if (outdated) await upgrade(user.id, password)
      const { session, refreshToken } = await sessions.open(user.id, user.generation)
      await Promise.all([users.load(user.id), knownAddresses.note(user.id, address)])
      audit.record({
        category: 'auth',
        type: 'login',
        actor,
        target: `user:${user.id}`,
        outcome: 'ok',
        details: { session: session.id }
      })
      return answer(session, refreshToken)
    },
    async refresh ({ refreshToken, address }) {
      const actor = `ip:${address}`
      refuseWhenLimited(await tryOn(`refresh|ip:${addressKey(address)}`), {
        type: 'session.refresh',
        actor,
        target: null
      })
      const verdict = await sessions.refresh(refreshToken)
      if (verdict.state === 'reused') {
        await options.endSession(verdict.session, { actor, type: 'session.reuse' })
        throw new NEKO_ERR_UNAUTHENTICATED()
      }
      const user = verdict.state === 'held' ? await users.load(verdict.session.userId) : null
      if (
        verdict.state !== 'held' || user === null || user.disabled ||
        user.generation !== verdict.session.generation || revocations.has('session', verdict.session.id)
      ) {
        audit.record({
          category: 'auth',
          type: 'session.refresh',
          actor,
          target: verdict.state === 'held' ? `session:${verdict.session.id}` : null,
          outcome: 'refused'
        })
        throw new NEKO_ERR_UNAUTHENTICATED()
      }
      audit.record({
        category: 'auth',
        type: 'session.refresh',
        actor,
        target: `session:${verdict.session.id}`,
        outcome: 'ok'
      })
      return answer(verdict.session, verdict.refreshToken)
    },
    async accountOf (userId) {
      const user = users.state(userId) ?? await users.load(userId)
      return user === null ? null : accountKey(user.username.toLowerCase())
    }
  }

  /** The parameters have changed since: the password is at hand only now. */
  async function upgrade (userId: string, password: string): Promise<void> {
    // Fail-open: the old hash is still good, and the next login tries again.
    await passwords.hash(password).then((passwordHash) =>
      users.setPassword(userId, passwordHash, { endsSessions: false })
    ).catch(() => null)
  }
}

/** Names are hashed: a password typed into the wrong field must not be left in a limiter or a log. */
function accountKey (account: string): string {
  return `account:${sha256(account).slice(0, 16)}`
}
