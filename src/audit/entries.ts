import { createHmac } from 'node:crypto'
import type { AuditInput } from './shapes.ts'
import type { Json } from '../std/json.ts'

/** Bounds of one event: an audit trail must not be a way to fill the disk. */
const DETAILS_BYTES_MAX = 4096
const RECORD_BYTES_MAX = 1024 * 1024
const TYPE_LENGTH_MAX = 64
const NAME_LENGTH_MAX = 512

/** Turns an address into a stand-in: the same one gives the same, and only who holds the key can tell which. */
export type Pseudonym = (address: string) => string

/** Keyed by AUDIT_PSEUDONYM_KEY: 80 bits of HMAC-SHA256 behind a tilde. */
export function createPseudonym (key: string): Pseudonym {
  return (address) => `~${createHmac('sha256', key).update(address).digest('hex').slice(0, 20)}`
}

export interface Written { fields: Omit<AuditInput, 'effects'>, json: string, oversize: boolean }

/**
 * The event's members in one order, bounded and as JSON text, taken at once: what the caller changes later does not count.
 * Never throws: details that are no JSON, or more than 4 KiB, are replaced by their size; `oversize` says that effects were left out.
 */
export function writeInput (input: AuditInput, pseudonym: Pseudonym | null): Written {
  const name = (text: string): string => hideAddress(text.length > NAME_LENGTH_MAX ? text.slice(0, NAME_LENGTH_MAX) : text, pseudonym)
  const fields: Omit<AuditInput, 'effects'> = {
    category: input.category,
    type: String(input.type).slice(0, TYPE_LENGTH_MAX),
    actor: name(String(input.actor)),
    target: typeof input.target === 'string' ? name(input.target) : null,
    outcome: input.outcome,
    assessmentId: input.assessmentId ?? null,
    score: typeof input.score === 'number' && Number.isFinite(input.score) ? input.score : null,
    factor: input.factor ?? null
  }
  if (input.details !== undefined) fields.details = boundedDetails(input.details, pseudonym)
  const plain = JSON.stringify(fields)
  if (input.effects === undefined || input.effects.length === 0) return { fields, json: plain, oversize: false }
  const effects = textOf(input.effects)
  if (effects === null || effects.length + plain.length > RECORD_BYTES_MAX) return { fields, json: plain, oversize: true }
  return { fields, json: `${plain.slice(0, -1)},"effects":${effects}}`, oversize: false }
}

function boundedDetails (details: { [key: string]: Json }, pseudonym: Pseudonym | null): { [key: string]: Json } {
  const text = textOf(details)
  if (text === null) return { unreadable: true }
  if (text.length > DETAILS_BYTES_MAX) return { oversize: text.length }
  const copy = JSON.parse(text) as { [key: string]: Json }
  if (pseudonym !== null) {
    for (const key of ['ip', 'address']) if (typeof copy[key] === 'string') copy[key] = pseudonym(copy[key])
  }
  return copy
}

/** `ip:<address>`, as ClientKeys and actors write it. */
function hideAddress (text: string, pseudonym: Pseudonym | null): string {
  return pseudonym !== null && text.startsWith('ip:') ? `ip:${pseudonym(text.slice(3))}` : text
}

function textOf (value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? null
  } catch {
    return null
  }
}
