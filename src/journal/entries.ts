import type { Json } from '../std/json.ts'
import { hideAny, hideName } from './pseudonyms.ts'
import type { Pseudonyms } from './pseudonyms.ts'
import type { AuditInput } from './shapes.ts'

/** Bounds of one event: an audit trail must not be a way to fill the disk. */
const DETAILS_BYTES_MAX = 4096
const RECORD_BYTES_MAX = 1024 * 1024
const TYPE_LENGTH_MAX = 64
const NAME_LENGTH_MAX = 512

interface Written { fields: Omit<AuditInput, 'effects'>, json: string, oversize: boolean }

/**
 * The event's members in one order, bounded and as JSON text, taken at once: what the caller changes later
 * does not count. Never throws: details that are no JSON, or more than 4 KiB, are replaced by their size;
 * `oversize` says that effects were left out.
 */
export function writeInput (input: AuditInput, pseudonyms: Pseudonyms | null): Written {
  const name = (text: string): string =>
    hideName(text.length > NAME_LENGTH_MAX ? text.slice(0, NAME_LENGTH_MAX) : text, pseudonyms)
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
  if (input.details !== undefined) fields.details = boundedDetails(input.details, pseudonyms)
  const plain = JSON.stringify(fields)
  if (input.effects === undefined || input.effects.length === 0) return { fields, json: plain, oversize: false }
  const effects = textOf(pseudonyms === null ? input.effects : input.effects.map(pseudonyms.seal))
  if (effects === null || effects.length + plain.length > RECORD_BYTES_MAX) {
    return { fields, json: plain, oversize: true }
  }
  return { fields, json: `${plain.slice(0, -1)},"effects":${effects}}`, oversize: false }
}

function boundedDetails (details: { [key: string]: Json }, pseudonyms: Pseudonyms | null): { [key: string]: Json } {
  const text = textOf(details)
  if (text === null) return { unreadable: true }
  if (text.length > DETAILS_BYTES_MAX) return { oversize: text.length }
  return JSON.parse(
    text,
    pseudonyms === null
      ? undefined
      : (_key, value: unknown) => typeof value === 'string' ? hideAny(value, pseudonyms) : value
  ) as { [key: string]: Json }
}

function textOf (value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? null
  } catch {
    return null
  }
}
