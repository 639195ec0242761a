import type { Audit } from '../audit/shapes.ts'
import { NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
import { retryable } from '../std/retryable.ts'
import { DEVICE_SECONDS, type Device, type Devices } from './devices.ts'
import type { IssuedTokens } from './issued-tokens.ts'
import type { LoginTries } from './login-tries.ts'
import { requirePasswordBounds, type Passwords } from './passwords.ts'
import type { Revocations } from './revocations.ts'
import { sha256, type Sessions } from './sessions.ts'
import type { Session, SessionTokens, User } from './shapes.ts'
import type { Tokens } from './tokens.ts'
import { USERNAME_CHARACTERS_MAX, type Users } from './users.ts'

/**
 * Logging in and staying logged in.
 *
 * A stranger can learn one bit here, and only with the password: a user who does not exist, one who is disabled and a
 * wrong password take the same time and get the same answer. Whether a try may be made is login-tries.ts'.
 */
export interface Logins {
  /**
   * @throws NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_INPUT_INVALID, NEKO_ERR_OVERLOADED,
   * NEKO_ERR_STORE_UNAVAILABLE
   */
  login (given: LoginTry): Promise<SignedIn>
  /** @throws NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_STORE_UNAVAILABLE */
  refresh (given: { refreshToken: string, address: string }): Promise<SessionTokens>
  /**
   * The name that tries on a user's account are counted under; null for a user who does not exist.
   * @throws NEKO_ERR_STORE_UNAVAILABLE
   */
  accountOf (userId: string): Promise<string | null>
}

interface LoginTry {
  username: string
  password: string
  address: string
  /** The text of the device that its client showed. */
  device?: string | null
  /** Its client hung up. */
  isGone? (): boolean
}

interface SignedIn extends SessionTokens {
  /** For the client to show at its next login. */
  device: { text: string, seconds: number }
}

interface LoginsOptions {
  users: Users
  sessions: Sessions
  devices: Devices
  tries: LoginTries
  passwords: Passwords
  tokens: Tokens
  issued: IssuedTokens
  revocations: Revocations
  audit: Audit
  expirationSeconds: number
  /** Ends a session everywhere. */
  endSession (session: Session, order: { actor: string, type: string }): Promise<void>
}

export function createLogins (options: LoginsOptions): Logins {
  const { users, sessions, devices, tries, passwords } = options
  const { tokens, issued, revocations, audit, expirationSeconds } = options

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
    async login (given) {
      const { username, password, address, isGone = () => false } = given
      requirePasswordBounds(password)
      // A longer one is nobody's: it is not looked up, but takes its time all the same.
      const usernameKey = username.slice(0, USERNAME_CHARACTERS_MAX + 1).toLowerCase()
      const actor = `ip:${address}`
      const account = accountOfName(usernameKey)
      const shown = devices.read(given.device ?? null)
      const about = { type: 'login', actor, target: account }
      // The store is not asked for an address that has no tries left.
      if (shown === null) refuseWhenLimited(await tries.waitOf(address), about)
      const user = await users.byName(usernameKey.slice(0, USERNAME_CHARACTERS_MAX))
      const exact = user !== null && user.usernameKey === usernameKey
      const device = exact && isDeviceOf(user, shown) ? shown : null
      refuseWhenLimited(await (device === null
        ? tries.ofAddress({ account, userId: exact ? user.id : null, address, isGone })
        : tries.ofDevice(device, address)), about)
      const { held, outdated } = await passwords.verify(password, exact ? user.passwordHash : null)
      if (!held || !exact || user.disabled) {
        audit.record({ category: 'auth', ...about, outcome: 'refused' })
        throw new NEKO_ERR_UNAUTHENTICATED()
      }
      if (outdated) await upgrade(user, password)
      const { session, refreshToken } = await sessions.open(user.id, user.generation)
      await Promise.all([users.load(user.id), tries.note(user.id, address)])
      audit.record({
        category: 'auth',
        type: 'login',
        actor,
        target: `user:${user.id}`,
        outcome: 'ok',
        details: { session: session.id }
      })
      const kept = { text: devices.issue(user, device), seconds: DEVICE_SECONDS }
      return { ...answer(session, refreshToken), device: kept }
    },
    async refresh ({ refreshToken, address }) {
      const actor = `ip:${address}`
      const live = await sessions.ofFamily(refreshToken)
      const sessionId = live !== null && revocations.has('session', live) ? null : live
      const target = sessionId === null ? null : `session:${sessionId}`
      refuseWhenLimited(await tries.ofRefresh(sessionId, address), { type: 'session.refresh', actor, target })
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
      return user === null ? null : accountOfName(user.username.toLowerCase())
    }
  }

  /** The parameters have changed since: the password is at hand only now. */
  async function upgrade (user: User, password: string): Promise<void> {
    // Fail-open: the old hash is still good, and the next login tries again. A password that was replaced stays so.
    await passwords.hash(password).then((passwordHash) =>
      users.setPassword(user.id, passwordHash, { endsSessions: false, verified: user })
    ).catch(() => null)
  }
}

/** A new password and a disabling end a user's devices. */
function isDeviceOf ({ id, generation }: User, shown: Device | null): boolean {
  return shown !== null && shown.userId === id && shown.generation === generation
}

/** Names are hashed: a password typed into the wrong field must not be left in a limiter or a log. */
function accountOfName (usernameKey: string): string {
  return `account:${sha256(usernameKey).slice(0, 16)}`
}
