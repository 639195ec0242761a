import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { test } from 'tap'
import type { Test } from 'tap'
import { scanRaw } from '../../src/detect/raw-scan/raw-scan.ts'
import { sharedPath } from '../shared.ts'

interface CorpusRecord { id: string, class: string, request: { url: string, headers: Record<string, string>, body?: string, body_b64?: string } }

const isAbsent = sharedPath('corpora/dev-benign.jsonl.gz') === null ? '../shared is absent' : false
/** A certain sign refuses alone, so ordinary requests have none; a likely one asks a few for a challenge. */
const BENIGN_LIKELY_MAX = 0.01
/** Recorded exploits of real products; the rules were written from the kinds of attack, not from these. */
const CERTAIN_MIN: Record<string, number> = { sqli: 0.7, xss: 0.7, xxe: 0.7, log4shell: 0.7, traversal: 0.7, ssti: 0.7 }

function read (name: string): CorpusRecord[] {
  const path = sharedPath(`corpora/${name}`)
  return path === null ? [] : gunzipSync(readFileSync(path)).toString().trim().split('\n').map((line) => JSON.parse(line) as CorpusRecord)
}

function gradeOf ({ request }: CorpusRecord): 'certain' | 'likely' | 'none' {
  const body = request.body_b64 !== undefined ? Buffer.from(request.body_b64, 'base64') : request.body === undefined ? null : Buffer.from(request.body)
  return scanRaw({ url: request.url, headers: Object.entries(request.headers).flat(), body })?.grade ?? 'none'
}

function noBenignIsCertain (t: Test, name: string): void {
  const records = read(name)
  const graded = records.map((record) => ({ id: record.id, grade: gradeOf(record) }))
  t.same(graded.filter(({ grade }) => grade === 'certain').map(({ id }) => id), [])
  const likely = graded.filter(({ grade }) => grade === 'likely').length / records.length
  t.comment(`${(100 * likely).toFixed(2)} % of ${records.length} likely`)
  t.ok(likely <= BENIGN_LIKELY_MAX)
}

for (const name of ['dev-benign.jsonl.gz', 'dev2-benign.jsonl.gz']) {
  test(`no ordinary request of ${name} has a certain sign`, { skip: isAbsent }, (t) => {
    noBenignIsCertain(t, name)
    t.end()
  })
}

test('most recorded exploits have a certain sign', { skip: isAbsent }, (t) => {
  const records = read('dev2-malicious.jsonl.gz')
  for (const [kind, bar] of Object.entries(CERTAIN_MIN)) {
    const some = records.filter((record) => record.class === kind)
    const share = some.filter((record) => gradeOf(record) === 'certain').length / some.length
    t.comment(`${kind}: ${(100 * share).toFixed(0)} % of ${some.length}`)
    t.ok(share >= bar, `${kind} ${share}`)
  }
  t.end()
})
