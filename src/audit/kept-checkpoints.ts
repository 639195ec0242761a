import { readFileSync, statSync } from 'node:fs'
import type { Checkpoint } from './checkpoints.ts'

/**
 * Checkpoints that somebody kept elsewhere, for `neko audit verify --against`: a checkpoint as JSON, or a file that
 * holds them, one a line or one answer in all. Read as they come: a line of a seals file, a line of the server's log, a
 * webhook's body, an answer of the query `auditCheckpoint`. Lines that hold none are passed over.
 *
 * Nothing of them is believed here: their signatures are judged by verification.
 */
const FILE_BYTES_MAX = 256 * 1_048_576
/** The newest are kept: what they seal holds what the earlier ones did. */
const KEPT_MAX = 10_000
/** Deeper than any message that carries one. */
const DEPTH_MAX = 5

/** @throws Error in words for the terminal: nothing there, too large, or no checkpoint in it */
export function readKeptCheckpoints (given: string): Checkpoint[] {
  const text = given.trimStart().startsWith('{') ? given : readFile(given)
  const found = new Map<string, Checkpoint>()
  const keep = (checkpoint: Checkpoint): void => {
    found.set(`${checkpoint.processId}/${checkpoint.number}/${checkpoint.signature}`, checkpoint)
    if (found.size > KEPT_MAX) found.delete(found.keys().next().value as string)
  }
  const whole = parse(text)
  if (whole !== null) collect(whole, keep, 0)
  else for (const line of text.split('\n')) collect(parse(line), keep, 0)
  if (found.size === 0) throw new Error('it holds no checkpoint of the audit trail')
  return [...found.values()]
}

function readFile (path: string): string {
  const found = path === '' ? undefined : statSync(path, { throwIfNoEntry: false })
  if (found === undefined) throw new Error(`there is no file "${path}"`)
  if (found.isDirectory()) throw new Error(`"${path}" is a directory`)
  if (found.size > FILE_BYTES_MAX) throw new Error(`"${path}" is larger than ${FILE_BYTES_MAX / 1_048_576} MiB`)
  return readFileSync(path, 'utf8')
}

function parse (text: string): unknown {
  if (!text.includes('"signature"')) return null
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function collect (value: unknown, keep: (checkpoint: Checkpoint) => void, depth: number): void {
  if (value === null || typeof value !== 'object' || depth > DEPTH_MAX) return
  const checkpoint = checkpointOf(value as Record<string, unknown>)
  if (checkpoint !== null) keep(checkpoint)
  else for (const member of Object.values(value)) collect(member, keep, depth + 1)
}

/** Only those that seal events say something of what must be there. */
function checkpointOf (given: Record<string, unknown>): Checkpoint | null {
  const { processId, number, segment, seq, hash, keyId, signature } = given
  const kind = String(given.kind).toLowerCase()
  if (kind !== 'checkpoint' && kind !== 'close') return null
  // GraphQL shows times as RFC 3339; the signature covers milliseconds.
  const at = typeof given.at === 'string' ? Date.parse(given.at) : given.at
  const texts = [processId, hash, keyId, signature]
  const numbers = [number, segment, seq, at]
  if (!texts.every((text) => typeof text === 'string') || !numbers.every(Number.isSafeInteger)) return null
  if (!/^[0-9a-z]{1,32}$/.test(processId as string)) return null
  return { processId, number, kind, segment, seq, hash, at, keyId, signature } as Checkpoint
}
