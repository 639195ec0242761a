import { randomBytes } from 'node:crypto'
import { ConfigError, type Config } from '../config/config.ts'
import { isNekoError } from '../errors.ts'
import { systemFiles } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { ensureSecret, requireSecret } from '../journal/secret-file.ts'
import type { SecretFile } from '../journal/secret-file.ts'
import type { Clock } from '../std/clock.ts'
import { randomText } from '../std/id.ts'
import type { Collection, Storage } from '../storage/port.ts'
import { userCollection } from './collections.ts'
import { upgradeKeys, type KeyFindings } from './prepare-keys.ts'
import { requireUsablePassword } from './password-rules.ts'
import { createPasswords } from './passwords.ts'
import type { User } from './shapes.ts'
import { newUser } from './users.ts'

/**
 * Made before the first process serves: a key that signs, and somebody who may log in. Run by one process, before any
 * fork; safe when several hosts run it at once (a unique index, and a file that is linked into place).
 */
const PASSWORD_CHARACTERS = 24

interface Prepared {
  /** To be shown once, by whoever called; null when there is an administrator, or ADMIN_PASSWORD was given. */
  oneTimePassword: string | null
  adminUsername: string
  adminCreated: boolean
  /**
   * True in production without ADMIN_PASSWORD, when there is nobody yet: a password that nobody was given
   * helps nobody.
   */
  adminMissing: boolean
  /** ADMIN_PASSWORD is none that the administrator has: it counts at the first start alone. */
  adminPasswordDiffers: boolean
  /** What was found about keys that were made before. */
  keys: KeyFindings
}

/** @throws NEKO_ERR_STORE_UNAVAILABLE; ConfigError when ADMIN_PASSWORD is too easy */
export async function prepareIdentity (
  { storage, config, clock }: { storage: Storage, config: Config, clock: Clock }
): Promise<Prepared> {
  const nothing = {
    oneTimePassword: null,
    adminUsername: config.adminUsername,
    adminCreated: false,
    adminMissing: false,
    adminPasswordDiffers: false,
    keys: await upgradeKeys({ storage, clock })
  }
  const users = storage.collection<User>(userCollection)
  if (await users.count() > 0) return { ...nothing, adminPasswordDiffers: await differs(config, users) }
  if (config.production && config.adminPassword === null) return { ...nothing, adminMissing: true }
  if (config.adminPassword !== null) await requireAdminPassword(config.adminPassword, config.adminUsername)
  const password = config.adminPassword ?? randomText(PASSWORD_CHARACTERS)
  const admin = newUser({
    username: config.adminUsername,
    role: 'ADMIN',
    passwordHash: await createPasswords().hash(password),
    nowMs: clock.now()
  })
  try {
    await users.insert(admin)
  } catch (error) {
    // Another host was faster: its administrator is the one.
    if ((error as { code?: string }).code === 'NEKO_ERR_STORE_DUPLICATE') return nothing
    throw error
  }
  return { ...nothing, adminCreated: true, oneTimePassword: config.adminPassword === null ? password : null }
}

/** Costs a hash, once at a start. That there is nobody of that name says nothing: people are renamed and replaced. */
async function differs (
  { adminPassword, adminUsername }: Pick<Config, 'adminPassword' | 'adminUsername'>,
  users: Pick<Collection<User>, 'findOne'>
): Promise<boolean> {
  if (adminPassword === null) return false
  const user = await users.findOne({ usernameKey: adminUsername.toLowerCase() })
  return user !== null && !(await createPasswords().verify(adminPassword, user.passwordHash)).held
}

/** Only where it is used: a server that has its people is not stopped by it. @throws ConfigError */
async function requireAdminPassword (password: string, username: string): Promise<void> {
  try {
    await requireUsablePassword(password, username)
  } catch (error) {
    if (!isNekoError(error)) throw error
    throw new ConfigError('ADMIN_PASSWORD', `is refused for the first administrator: ${error.message}`)
  }
}

/**
 * JWT_SECRET's list, or outside production the one secret kept under DATA_DIR.
 * @throws ConfigError, as requireSecret
 */
export function signingSecrets (config: SecretConfig, files: FileLayer = systemFiles): readonly string[] {
  return config.jwtSecrets.length > 0 ? config.jwtSecrets : [requireSecret(files, localSecret(config))]
}

/**
 * Makes that secret where it is needed and not there. It needs no store, so that it comes before the store is asked:
 * processes that were forked while the store is down would each be the first.
 * @throws ConfigError, as ensureSecret
 */
export function prepareSigningSecret (config: SecretConfig, files: FileLayer = systemFiles): void {
  if (config.jwtSecrets.length === 0) ensureSecret(files, localSecret(config))
}

type SecretConfig = Pick<Config, 'jwtSecrets' | 'dataDir' | 'production'>

function localSecret ({ dataDir, production }: SecretConfig): SecretFile {
  if (production) throw new ConfigError('JWT_SECRET', 'is required in production')
  return {
    directory: dataDir,
    name: 'jwt.secret',
    variable: 'JWT_SECRET',
    // As JWT_SECRET itself: people make one by hand, and `openssl rand -base64 32` has 44.
    charactersMin: 32,
    loss: 'everybody has to log in again',
    make: () => randomBytes(48).toString('base64url')
  }
}
