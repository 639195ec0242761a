import { attempt, type Audit } from '../audit/shapes.ts'
import type { Fleet } from '../fleet/port.ts'
import type { Config } from '../config/config.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { createAuthentication, type Authentication, type CredentialHeaders } from './authentication.ts'
import { createDevices } from './devices.ts'
import { createIssuedTokens } from './issued-tokens.ts'
import { createAuthorities } from './authority.ts'
import { createFallingKeys } from './falling-keys.ts'
import { createKeys } from './keys.ts'
import type { LoginLine } from './login-line.ts'
import { createLoginTries, type Attempts } from './login-tries.ts'
import { createLogins, type Logins } from './logins.ts'
import { createPasswords } from './passwords.ts'
import { createLostPasswords, type LostPasswords } from './lost-passwords.ts'
import { createPeople, shown, type People } from './people.ts'
import { createKeyring, type Keyring } from './keyring.ts'
import { signingSecrets } from './prepare.ts'
import { createRevocations, type LoggedRevocation } from './revocations.ts'
import { createHeldScopes, type HeldScopes } from './scopes-of.ts'
import { createSessions, REFRESH_SECONDS } from './sessions.ts'
import type { Principal, RevokedKind, Session, StandingChange } from './shapes.ts'
import { CLOCK_TOLERANCE_SECONDS, createTokens } from './tokens.ts'
import { createUsedAddresses, type UsedAddresses } from './used-addresses.ts'
import { createUsers } from './users.ts'

/**
 * The identity room's service: the caller of a request, and whether its credential still holds.
 *
 * Owns: users, sessions, API keys and revocations. Never does: decide what a threat is, count requests (it asks
 * `attempts` about logins), print or log a credential. In: headers and people's input. Out: a Credential.
 *
 * Why memory: `authenticate` stands in front of every request, so it answers from what this process holds (users, keys,
 * revocations, verified tokens); siblings are told of each change at once, and a poll of the store every 2 s makes up
 * for messages that were lost, so that no process is wrong for longer. Until the store's revocations were read once,
 * nobody is let in: a restart must not undo one.
 */
const POLL_MS = 2_000
/** Clocks of hosts differ by at most what tokens allow: what a poll asks for reaches back as far. */
const POLL_OVERLAP_MS = (CLOCK_TOLERANCE_SECONDS + 5) * 1_000
/** Replayed revocations have old times: all are read again this often, and when the store comes back. */
const FULL_POLL_MS = 60_000
/** A start with the store down goes on without it. */
const START_WAIT_MS = 2_500

/** A logger as the room needs it (pino's shape). */
interface IdentityLog {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
}

export interface IdentityOptions {
  config: Pick<Config, 'jwtSecrets' | 'jwtExpirationSeconds' | 'dataDir' | 'production'>
  storage: Storage
  audit: Audit
  fleet: Fleet
  clock: Clock
  log: IdentityLog
  /** Changes of revocations in the logs of this host that the store may not have yet. */
  loggedRevocations (): Promise<LoggedRevocation[]>
  /** Counts a try of login or refresh for all processes; absent: nobody counts (tests). */
  attempts?: Attempts
}

export interface Identity extends Authentication, Logins, People, LostPasswords, Keyring, UsedAddresses, HeldScopes {
  /** Reads what the store holds; resolves within 2.5 s even when it is down, and reads it later then. */
  start (): Promise<void>
  /**
   * Reads again all that the store holds: after the audit log was replayed. Begins after the call.
   * @throws NEKO_ERR_STORE_UNAVAILABLE
   */
  reload (): Promise<void>
  /**
   * Ends the caller's session everywhere: its access tokens and its refresh family. False for callers without one.
   * @throws NEKO_ERR_AUDIT_UNAVAILABLE
   */
  logout (principal: Principal): Promise<boolean>
  /** Called in every process when somebody's standing changed; ask `holds`. Returns the unsubscribe. */
  onRevoked (listener: (change: StandingChange) => void): () => void
  /** Replaces JWT_SECRET's list while running: the first signs, all verify. */
  setSecrets (secrets: readonly string[]): void
  /** Strangers' tries that wait for their turn; closed, all are answered. */
  loginLine: Pick<LoginLine, 'waiting' | 'close'>
  close (): Promise<void>
}

export type { CredentialHeaders }

export function createIdentity (options: IdentityOptions): Identity {
  const { config, storage, audit, fleet, clock, log } = options
  const { listeners, announce } = createListeners(log)
  const attempts = options.attempts ?? UNCOUNTED
  const onRevoked = (kind: RevokedKind, id: string): void => announce({ kind, id })
  const loggedChanges = options.loggedRevocations
  const revocations = createRevocations({ storage, audit, fleet, clock, loggedChanges, log, onRevoked })
  const users = createUsers({ storage, fleet, clock, onChanged: (id) => announce({ kind: 'user', id }) })
  const keys = createKeys({ storage, fleet, clock })
  const authorities = createAuthorities({ users, revocations })
  const falling = createFallingKeys({ keys, revocations, log })
  const sessions = createSessions({ storage, clock })
  const tries = createLoginTries({ attempts, storage, clock })
  const { close: closeUses, ...usedAddresses } = createUsedAddresses({ storage, clock })
  const passwords = createPasswords()
  const secrets = signingSecrets(config)
  const devices = createDevices({ secrets, clock })
  const tokens = createTokens({ secrets, expirationSeconds: config.jwtExpirationSeconds, clock })
  const issued = createIssuedTokens({ fleet, clock })
  const reading = createReading({
    storage,
    clock,
    log,
    read: async (sinceMs) => {
      await Promise.all([revocations.load(sinceMs), users.poll(sinceMs), keys.poll(sinceMs)])
    },
    takeOver: () => revocations.takeOver(),
    tick: () => revocations.tick()
  })

  async function endSession (session: Pick<Session, 'id'>, order: { actor: string, type: string }): Promise<void> {
    // It must be remembered as long as any token of the family could be shown, also when the family cannot be
    // deleted now.
    const lifetimeSeconds = Math.max(REFRESH_SECONDS, config.jwtExpirationSeconds) + 2 * CLOCK_TOLERANCE_SECONDS
    const expiresAt = clock.now() + lifetimeSeconds * 1_000
    const revoked = revocations.revoke({ kind: 'session', id: session.id, expiresAt, ...order })
    await Promise.all([revoked, sessions.remove(session.id)])
  }

  /** Privileged changes are recorded before they are made, and refused when they cannot be. */
  async function recorded<T> (
    event: { type: string, actor: string, target: string, details?: { [key: string]: string | null } },
    work: () => Promise<T>
  ): Promise<T> {
    if (!audit.healthy()) throw new NEKO_ERR_AUDIT_UNAVAILABLE()
    return await attempt(audit, { category: 'auth', ...event }, work)
  }

  return {
    ...createAuthentication({
      tokens,
      issued,
      users,
      keys,
      authorities,
      revocations,
      clock,
      ready: () => reading.ready() ? true : reading.whenReady()
    }),
    ...createLogins({
      users,
      sessions,
      devices,
      tries,
      passwords,
      tokens,
      issued,
      revocations,
      audit,
      expirationSeconds: config.jwtExpirationSeconds,
      endSession
    }),
    ...createPeople({
      users,
      sessions,
      passwords,
      clock,
      audit,
      recorded,
      countAttempt: (key) => attempts.take(key),
      endKeysOf: falling.withPerson
    }),
    ...createLostPasswords({ users, sessions, passwords, recorded, shown }),
    ...createKeyring({
      keys,
      authorities,
      falling,
      revocations,
      clock,
      recorded,
      storageUp: () => storage.health().up
    }),
    ...usedAddresses,
    ...createHeldScopes({ users, keys, sessions, authorities, revocations, clock }),
    start: () => reading.start(),
    reload: () => reading.anew(),
    async logout (principal) {
      if (principal.sessionId === null) return false
      await endSession({ id: principal.sessionId }, { actor: `user:${principal.id}`, type: 'session.logout' })
      return true
    },
    onRevoked (listener) {
      listeners.add(listener)
      return () => { listeners.delete(listener) }
    },
    setSecrets (next) {
      tokens.setSecrets(next)
      devices.setSecrets(next)
    },
    loginLine: tries.line,
    async close () {
      listeners.clear()
      tries.line.close()
      await reading.close()
      users.close()
      issued.close()
      await Promise.all([revocations.close(), keys.close(), closeUses()])
    }
  }
}

const UNCOUNTED: Attempts = {
  take: async () => ({ allowed: true, retryAfterSeconds: 0 }),
  peek: () => ({ allowed: true, retryAfterSeconds: 0 }),
  giveBack () {}
}

function createListeners (
  log: IdentityLog
): { listeners: Set<(change: StandingChange) => void>, announce (change: StandingChange): void } {
  const listeners = new Set<(change: StandingChange) => void>()
  return {
    listeners,
    announce (change) {
      for (const listener of listeners) {
        try {
          listener(change)
        } catch (error) {
          log.warn({ err: error }, 'a listener of revocations failed')
        }
      }
    }
  }
}

interface Reading {
  ready (): boolean
  /** Reads now when nothing was read yet. @throws NEKO_ERR_STORE_UNAVAILABLE */
  whenReady (): Promise<void>
  start (): Promise<void>
  /** A reading that begins now, or behind the one under way. @throws NEKO_ERR_STORE_UNAVAILABLE */
  anew (): Promise<void>
  close (): Promise<void>
}

/** When to read the store: once at start, what is new every 2 s, everything now and then. */
function createReading (
  { storage, clock, log, read, takeOver, tick }: {
    storage: Storage,
    clock: Clock,
    log: IdentityLog,
    read (sinceMs?: number): Promise<void>,
    /** What the store may lack. Never rejects. */
    takeOver (): Promise<void>,
    tick (): void
  }
): Reading {
  let loaded = false
  let closed = false
  let since = 0
  let fullDueMs = 0
  let running: Promise<void> | null = null
  let next: Promise<void> | null = null
  let takingOver: Promise<void> | null = null

  function anew (): Promise<void> {
    if (running === null) return full()
    next ??= running.catch(() => null).then(() => {
      next = null
      return full()
    })
    return next
  }

  function full (): Promise<void> {
    running ??= readAll().finally(() => { running = null })
    return running
  }

  async function readAll (): Promise<void> {
    const now = clock.now()
    // Nobody is let in by a store that lags behind what was revoked.
    takingOver ??= takeOver()
    await Promise.all([read(), takingOver])
    since = now - POLL_OVERLAP_MS
    fullDueMs = clock.monotonic() + FULL_POLL_MS
    if (!loaded) log.info({}, 'identity has read its users, keys and revocations')
    loaded = true
  }

  async function poll (): Promise<void> {
    tick()
    if (!loaded || clock.monotonic() >= fullDueMs) return await full()
    const now = clock.now()
    await read(since)
    since = now - POLL_OVERLAP_MS
  }

  let polling: Promise<unknown> = Promise.resolve()
  let busy = false
  const timer = clock.every(POLL_MS, () => {
    if (busy || closed) return
    busy = true
    // Fail-open: memory stays in force, and the next poll reaches back to the last one that worked.
    polling = poll().catch(() => null).finally(() => { busy = false })
  })
  storage.onHealth((health) => {
    // Down again already: the next poll reads it all.
    if (health.up && !closed) full().catch(() => null)
  })

  return {
    ready: () => loaded,
    async whenReady () {
      if (loaded) return
      try {
        await full()
      } catch (cause) {
        throw new NEKO_ERR_STORE_UNAVAILABLE({ cause })
      }
    },
    async start () {
      const late = new Promise<void>((resolve) => { clock.after(START_WAIT_MS, resolve) })
      await Promise.race([late, full().catch((error: unknown) => {
        log.warn(
          { code: (error as { code?: string }).code ?? null },
          'identity could not read the store at start: credentials are refused until it can'
        )
      })])
    },
    anew,
    async close () {
      closed = true
      timer.cancel()
      await polling
      // Its caller is told of its failure.
      await running?.catch(() => null)
    }
  }
}
