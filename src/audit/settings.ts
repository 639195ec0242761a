import { createHash } from 'node:crypto'
import { SECRETS, VARIABLES } from '../config/config.ts'
import type { Json } from '../std/json.ts'
import type { Storage } from '../storage/port.ts'
import { auditSettings } from './collections.ts'
import type { StoredSettings } from './collections.ts'
import type { AuditInput } from './shapes.ts'
import type { Signer } from './signing.ts'

/**
 * Changes of the configuration by a start or a reload: compared with those that the last one left in the store, and
 * told in one event. Values of secrets are never kept: a digest that only the signing key can make says whether one
 * changed.
 */
interface SettingsOptions {
  storage: Storage
  place: string
  signer: Signer
  /** Each variable's text in force, secrets among them. */
  settings: Readonly<Record<string, string>>
  nowMs: number
  durable (event: AuditInput): Promise<unknown>
}

/** Their values stay out of the trail too: URLs may hold tokens, names and addresses are people's or the network's. */
const NAMED_ONLY = new Set<string>([
  ...SECRETS,
  'HOST',
  'TRUST_PROXY',
  'REDIS_HOST',
  'CORS_ORIGIN',
  'ADMIN_USERNAME',
  'NEVER_BLOCK',
  'DECOY_PATHS',
  'WEBHOOK_URLS'
])
/** People choose it, so that even a keyed digest would be something to guess at. */
const GUESSABLE = 'ADMIN_PASSWORD'
const KEPT_MS = 400 * 86_400_000
/** Below what an event's details may hold. */
const VALUES_CHARS_MAX = 2_000

/**
 * Records `config.change` where there is one, and on a first start.
 * @throws NEKO_ERR_STORE_UNAVAILABLE, NEKO_ERR_AUDIT_UNAVAILABLE: call again
 */
export async function noteSettings (
  { storage, place, signer, settings, nowMs, durable }: SettingsOptions
): Promise<void> {
  const collection = storage.collection<StoredSettings>(auditSettings)
  // The embedded store has one place, whatever its host is called today.
  const id = storage.kind === 'mongodb' ? place : 'local'
  const before = await collection.get(id)
  const values = Object.fromEntries(Object.entries(settings).map(([name, text]) => [name, keptOf(name, text, signer)]))
  const details = before === null ? { first: true } : changesOf(before, { values, keyId: signer.keyId })
  if (details !== null) {
    await durable({
      category: 'data',
      type: 'config.change',
      actor: 'system',
      target: place,
      outcome: 'ok',
      details
    })
  }
  await collection.put({ id, at: nowMs, values, keyId: signer.keyId, expiresAt: nowMs + KEPT_MS })
}

function keptOf (name: string, text: string, signer: Signer): string {
  if (!NAMED_ONLY.has(name)) return text
  if (text === '') return ''
  // Ed25519 is deterministic: one text, one signature, and nobody without the key can try texts.
  return name === GUESSABLE
    ? '#set'
    : `#${createHash('sha256').update(signer.sign(`setting ${name} ${text}`)).digest('hex').slice(0, 12)}`
}

type Compared = Pick<StoredSettings, 'values' | 'keyId'>

/**
 * Null when nothing changed. With another signing key the digests say nothing, but whether there is a value
 * still does.
 */
function changesOf (before: Compared, after: Compared): { [key: string]: Json } | null {
  const isNewKey = before.keyId !== after.keyId
  const meaning = (value: string): string => isNewKey && value.startsWith('#') ? '#' : value
  const changed = Object.keys(after.values).filter((name) => {
    if (name === 'AUDIT_SIGNING_KEY' && isNewKey) return true
    // A variable that an older version did not know had its default.
    const was = before.values[name] ?? (NAMED_ONLY.has(name) ? after.values[name]! : VARIABLES[name] ?? '')
    return meaning(was) !== meaning(after.values[name]!)
  })
  if (changed.length === 0) return null
  const shown = changed.filter((name) => !NAMED_ONLY.has(name)).map((
    name
  ) => [name, [before.values[name] ?? VARIABLES[name] ?? '', after.values[name]!]])
  const values = Object.fromEntries(shown) as { [key: string]: Json }
  return {
    changed,
    ...(JSON.stringify(values).length <= VALUES_CHARS_MAX ? { values } : {}),
    ...(isNewKey ? { secretsCompared: false } : {})
  }
}
