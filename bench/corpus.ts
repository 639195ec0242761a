/** Reads a corpus of labelled requests (JSONL, gzip or not) and chooses a part of it. Payloads are test data: they are sent to a loopback address only. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

export interface CorpusRequest {
  method: string
  url: string
  headers: Record<string, string | string[]>
  body?: string
  body_b64?: string
}

export interface CorpusRecord {
  id: string
  label: 'malicious' | 'benign'
  class: string
  tier?: string
  group?: string
  request: CorpusRequest
}

/** A record and what the scorer made of it. */
export interface Scored {
  record: CorpusRecord
  /** 0-100. */
  score: number
  action: 'ALLOW' | 'CHALLENGE' | 'BLOCK'
  /** Of the payload, where it is known. */
  grade: string | null
  why: string
}

export function option (name: string, fallback: string): string {
  const at = process.argv.indexOf('--' + name)
  return at === -1 ? fallback : process.argv[at + 1] ?? fallback
}

/** The records of every corpus named on the command line, as `--holdout`, `--fifth` and `--class` choose. */
export function readCorpora (): CorpusRecord[] {
  const paths = process.argv.slice(2).filter((argument) => /\.jsonl(?:\.gz)?$/.test(argument))
  const only = option('class', '')
  return paths.flatMap(readCorpus).filter(isChosen).filter((record) => only === '' || record.class === only)
}

function readCorpus (path: string): CorpusRecord[] {
  const bytes = readFileSync(path)
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as CorpusRecord)
}

/** Which fifth a record belongs to, by its id: the same on every machine and in every order. */
function fifthOf (id: string): number {
  return (createHash('sha256').update(id).digest()[0] as number) % 5
}

function isChosen (record: CorpusRecord): boolean {
  const holdout = option('holdout', '')
  if (holdout === '') return true
  const inside = fifthOf(record.id) === Number(holdout)
  return option('fifth', 'train') === 'holdout' ? inside : !inside
}

/** The body's bytes, or null. */
export function bodyOf (request: CorpusRequest): Buffer | null {
  if (request.body_b64 !== undefined) return Buffer.from(request.body_b64, 'base64')
  return request.body === undefined ? null : Buffer.from(request.body)
}

/** name, value, name, value: a header with several values stands several times. */
export function headersOf (request: CorpusRequest): string[] {
  return Object.entries(request.headers).flatMap(([name, value]) => Array.isArray(value) ? value.flatMap((one) => [name, one]) : [name, String(value)])
}
