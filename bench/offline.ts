/**
 * Scores a corpus without a server, through the pure modules only: TPR and FPR per class, balanced accuracy, AUC, the worst
 * misses and false alarms. `node bench/offline.ts <jsonl or jsonl.gz>... [--holdout 0..4 --fifth train|holdout] [--worst n] [--class name] [--payload]`
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { inspectPayload } from '../src/scoring/factors/payload.ts'
import type { Observation } from '../src/scoring/shapes.ts'

interface CorpusRecord {
  id: string
  label: 'malicious' | 'benign'
  class: string
  tier?: string
  group?: string
  request: { method: string, url: string, headers: Record<string, string>, body?: string, body_b64?: string }
}
interface Scored { record: CorpusRecord, score: number, grade: string | null, why: string }
type Scorer = (observation: Observation) => { score: number, grade: string | null, why: string }

const BLOCK = 75
const CHALLENGE = 40

function option (name: string, fallback: string): string {
  const at = process.argv.indexOf('--' + name)
  return at === -1 ? fallback : process.argv[at + 1] ?? fallback
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

function chosen (record: CorpusRecord): boolean {
  const holdout = option('holdout', '')
  if (holdout === '') return true
  const inside = fifthOf(record.id) === Number(holdout)
  return option('fifth', 'train') === 'holdout' ? inside : !inside
}

function observe (record: CorpusRecord): Observation {
  const { request } = record
  const body = request.body_b64 !== undefined ? Buffer.from(request.body_b64, 'base64') : request.body !== undefined ? Buffer.from(request.body) : null
  return { id: record.id, at: 1_800_000_000_000, client: 'ip:192.0.2.1', method: request.method, url: request.url, headers: Object.entries(request.headers).flat().map(String), body, route: null, history: null }
}

async function chooseScorer (): Promise<Scorer> {
  const payload: Scorer = (observation) => {
    const finding = inspectPayload(observation, { sensitivity: 2 })
    return { score: finding.value * 100, grade: finding.grade, why: finding.evidence.slice(0, 3).map((one) => `${one.rule}:${one.grade} ${one.text}`).join(' | ') }
  }
  if (process.argv.includes('--payload')) return payload
  try {
    const [{ scoreObservation }, { createPolicy }] = await Promise.all([import('../src/scoring/score.ts'), import('../src/scoring/policy.ts')])
    const policy = createPolicy({ sensitivity: 2, challengeThreshold: CHALLENGE, blockThreshold: BLOCK })
    return (observation) => {
      const score = scoreObservation(observation, policy)
      const top = [...score.factors].sort((left, right) => right.contribution - left.contribution).filter((factor) => factor.contribution > 0).slice(0, 3)
      return { score: score.value, grade: score.grade, why: top.map((factor) => `${factor.name}=${factor.contribution} ${factor.evidence[0]?.rule ?? ''} ${factor.evidence[0]?.text ?? ''}`).join(' | ') }
    }
  } catch {
    // The combination is not written yet: the payload factor stands for all.
    return payload
  }
}

const rate = (records: Scored[], threshold: number): number => records.length === 0 ? 0 : records.filter((scored) => scored.score >= threshold).length / records.length
const percent = (value: number): string => (value * 100).toFixed(2).padStart(7)

function groupBy (records: Scored[], key: (record: CorpusRecord) => string): Map<string, Scored[]> {
  const groups = new Map<string, Scored[]>()
  for (const scored of records) groups.set(key(scored.record), [...(groups.get(key(scored.record)) ?? []), scored])
  return groups
}

/** Area under the ROC curve by ranks, ties at half. */
function areaUnderCurve (bad: Scored[], good: Scored[]): number {
  const all = [...bad.map((one) => ({ score: one.score, bad: true })), ...good.map((one) => ({ score: one.score, bad: false }))].sort((left, right) => left.score - right.score)
  let ranks = 0
  for (let from = 0; from < all.length;) {
    let to = from
    while (to < all.length && (all[to] as { score: number }).score === (all[from] as { score: number }).score) to++
    for (let at = from; at < to; at++) if ((all[at] as { bad: boolean }).bad) ranks += (from + to + 1) / 2
    from = to
  }
  return (ranks - bad.length * (bad.length + 1) / 2) / (bad.length * good.length)
}

const out = (line: string): void => { process.stdout.write(line + '\n') }

function printGroups (title: string, groups: Map<string, Scored[]>): void {
  out(`\n${title.padEnd(24)}      n   block%  block-or-challenge%  certain%`)
  for (const [name, records] of [...groups].sort((left, right) => right[1].length - left[1].length)) {
    const sure = records.filter((one) => one.grade === 'certain').length / records.length
    out(`${name.padEnd(24)} ${String(records.length).padStart(6)}  ${percent(rate(records, BLOCK))}  ${percent(rate(records, CHALLENGE))}              ${percent(sure)}`)
  }
}

function printSummary (bad: Scored[], good: Scored[]): void {
  const alarms = rate(good, BLOCK)
  const balanced = (rate(bad, BLOCK) + 1 - alarms) / 2
  const classes = [...groupBy(bad, (record) => record.class).values()]
  const macro = classes.reduce((sum, records) => sum + (rate(records, BLOCK) + 1 - alarms) / 2, 0) / classes.length
  out(`\nbalanced accuracy ${balanced.toFixed(4)}  macro over classes ${macro.toFixed(4)}  TPR ${percent(rate(bad, BLOCK))}  FPR ${percent(alarms)}  AUC ${areaUnderCurve(bad, good).toFixed(4)}`)
  const twinBad = bad.filter((one) => one.record.group === 'twin-modern')
  const twinGood = good.filter((one) => one.record.group === 'twin-modern')
  out(`twin-modern: balanced ${((rate(twinBad, BLOCK) + 1 - rate(twinGood, BLOCK)) / 2).toFixed(4)} (${twinBad.length} + ${twinGood.length})`)
  printBans(good)
}

/** Addresses of 50 benign requests that would be banned: any `certain`, any score of 90, or three refusals. In file order and dealt at random (seeded). */
function printBans (good: Scored[]): void {
  let seed = 42
  const dealt = [...good].map((one) => ({ one, key: (seed = Math.imul(seed, 1103515245) + 12345 >>> 0) })).sort((left, right) => left.key - right.key).map((entry) => entry.one)
  const banned = (order: Scored[]): string => {
    let bans = 0
    let addresses = 0
    for (let at = 0; at < order.length; at += 50, addresses++) {
      const hand = order.slice(at, at + 50)
      if (hand.some((one) => one.score >= 90 || one.grade === 'certain') || hand.filter((one) => one.score >= BLOCK).length >= 3) bans++
    }
    return `${bans} of ${addresses}`
  }
  out(`standing bans of benign addresses at 50 requests: dealt ${banned(dealt)}, in file order ${banned(good)}`)
}

async function main (): Promise<void> {
  const scorer = await chooseScorer()
  const paths = process.argv.slice(2).filter((argument) => /\.jsonl(?:\.gz)?$/.test(argument))
  const only = option('class', '')
  const records = paths.flatMap(readCorpus).filter(chosen).filter((record) => only === '' || record.class === only)
  const observations = records.map(observe)
  const started = performance.now()
  const scored = records.map((record, at): Scored => ({ record, ...scorer(observations[at] as Observation) }))
  const microseconds = (performance.now() - started) * 1000 / records.length
  const bad = scored.filter((one) => one.record.label === 'malicious')
  const good = scored.filter((one) => one.record.label === 'benign')
  printGroups('malicious class', groupBy(bad, (record) => record.class))
  printGroups('benign tier', groupBy(good, (record) => record.tier ?? 'ordinary'))
  printGroups('benign class', groupBy(good, (record) => record.class))
  if (bad.length > 0 && good.length > 0) printSummary(bad, good)
  out(`${microseconds.toFixed(1)} us per request over ${records.length}`)
  const worst = Number(option('worst', '20'))
  const show = (one: Scored): void => out(`${one.score.toFixed(0).padStart(3)} ${one.record.class} ${one.record.id} ${one.why}\n      ${one.record.request.method} ${one.record.request.url.slice(0, 160)} ${(one.record.request.body ?? '').slice(0, 160).replaceAll('\n', '\\n')}`)
  out('\nworst false alarms')
  good.filter((one) => one.score >= BLOCK || one.grade === 'certain').sort((left, right) => right.score - left.score).slice(0, worst).forEach(show)
  out('\nworst misses')
  bad.filter((one) => one.score < BLOCK).sort((left, right) => left.score - right.score).slice(0, worst).forEach(show)
}

await main()
