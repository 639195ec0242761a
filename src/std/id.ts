import { randomBytes } from 'node:crypto'

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'

/** `length` random characters of 0-9a-z (5.17 bits each), from the system's generator. */
export function randomText (length: number): string {
  let text = ''
  while (text.length < length) {
    // 252 = 7 * 36: bytes above it would make the first letters likelier.
    for (const byte of randomBytes(length * 2)) if (byte < 252 && text.length < length) text += ALPHABET[byte % 36]
  }
  return text
}

/**
 * An id that sorts by its time of making: prefix, 9 characters of milliseconds, 11 random ones (57 bits).
 * Used for everything that is not on the hot path.
 */
export function newId (prefix: string, nowMs: number): string {
  return `${prefix}_${nowMs.toString(36).padStart(9, '0')}${randomText(11)}`
}

/**
 * Ids of assessments, minted before the reply at under a tenth of a microsecond. They name their process
 * (`as_<process>_<count>`), so that any process of the fleet knows whom to ask for a receipt that was not stored.
 *
 * @param series a digit for ids that are minted beside those of requests: they are eleven characters long, and so lie
 * far above the numbers of the others
 */
export function createReceiptIds (processId: string, series?: '1' | '2'): () => string {
  let count = 0
  const prefix = `as_${processId}_`
  if (series === undefined) return () => prefix + (count++).toString(36)
  return () => prefix + series + (count++).toString(36).padStart(10, '0')
}

/** The process that minted a receipt's id, or null when it is no such id. */
export function processOfReceipt (id: string): string | null {
  const match = /^as_([0-9a-z]{12})_[0-9a-z]{1,11}$/.exec(id)
  return match === null ? null : match[1] as string
}

/** Twelve characters, new at every start of a process. */
export function newProcessId (): string {
  return randomText(12)
}
