import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { cheapScore } from '../../src/detect/score.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { hashText } from '../../src/std/hash.ts'
import { sharedPath } from '../shared.ts'
import type { Observation } from '../../src/detect/shapes.ts'

interface CorpusRecord { id: string, label: string, class: string, request: { method: string, url: string, headers: Record<string, string>, body?: string } }

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
/** The cheap score stops short of the block threshold: at its bound it would have blocked. */
const WOULD_BLOCK = 74.99

const isAbsent = sharedPath('corpora/dev-benign.jsonl.gz') === null ? '../shared is absent' : false

function read (name: string): CorpusRecord[] {
  const path = sharedPath(`corpora/${name}`)
  return path === null ? [] : gunzipSync(readFileSync(path)).toString().trim().split('\n').map((line) => JSON.parse(line) as CorpusRecord)
}

function pointsOf (record: CorpusRecord): number {
  const { method, url, headers, body } = record.request
  const observation: Observation = { id: 'as_corpus', at: 0, client: 'ip:192.0.2.1', method, url, headers: Object.entries(headers).flat(), body: body === undefined ? null : Buffer.from(body), route: url.startsWith('/graphql') ? '/graphql' : null, history: null }
  return cheapScore(observation, policy).value
}

/** A random fifth, by the id's hash, was never looked at while the rules were written. */
function isLeftOut (record: CorpusRecord): boolean {
  return hashText(record.id) % 5 === 0
}

function share (records: CorpusRecord[], points: number): number {
  return records.filter((record) => pointsOf(record) >= points).length / Math.max(1, records.length)
}

t.test('DEV corpora, everything but the payload: attack tools and scanner paths are found', { skip: isAbsent }, (t) => {
  const records = read('dev-malicious.jsonl.gz')
  const floors: { [name: string]: number } = { 'scanner-ua': 0.95, 'scanner-path': 0.75, 'session-fixation': 0.7 }
  for (const [name, floor] of Object.entries(floors)) {
    const some = records.filter((record) => record.class === name)
    const seen = share(some.filter((record) => !isLeftOut(record)), WOULD_BLOCK)
    const leftOut = share(some.filter(isLeftOut), WOULD_BLOCK)
    t.ok(seen >= floor, `${name}: ${(100 * seen).toFixed(1)} % of what was looked at`)
    t.ok(leftOut >= floor - 0.05, `${name}: ${(100 * leftOut).toFixed(1)} % of the fifth left out`)
  }
  t.end()
})

t.test('DEV corpora, everything but the payload: good bots, API clients and people are left alone', { skip: isAbsent }, (t) => {
  const records = read('dev-benign.jsonl.gz')
  for (const name of new Set(records.map((record) => record.class))) {
    const flagged = share(records.filter((record) => record.class === name), 40)
    t.ok(flagged <= 0.01, `${name}: ${(100 * flagged).toFixed(2)} % challenged or blocked`)
  }
  t.end()
})
