/**
 * Scores a corpus without a server, through the pure modules only: TPR and FPR per class, balanced accuracy, AUC, the worst
 * misses and false alarms. `node bench/offline.ts <jsonl or jsonl.gz>... [--holdout 0..4 --fifth train|holdout] [--worst n] [--class name] [--payload]`
 */
import { inspectPayload } from '../src/detect/factors/payload.ts'
import { createPolicy } from '../src/detect/policy.ts'
import { scoreObservation } from '../src/detect/score.ts'
import type { Observation } from '../src/detect/shapes.ts'
import { bodyOf, headersOf, option, readCorpora } from './corpus.ts'
import type { CorpusRecord, Scored } from './corpus.ts'
import { out, printReport } from './detection-report.ts'

type Scorer = (observation: Observation) => Pick<Scored, 'score' | 'grade' | 'why'>

const BLOCK = 75
const CHALLENGE = 40

function observe (record: CorpusRecord): Observation {
  const { method, url } = record.request
  return { id: record.id, at: 1_800_000_000_000, client: 'ip:192.0.2.1', method, url, headers: headersOf(record.request), body: bodyOf(record.request), route: null, history: null }
}

const scorePayload: Scorer = (observation) => {
  const finding = inspectPayload(observation, { sensitivity: 2 })
  return { score: finding.value * 100, grade: finding.grade, why: finding.evidence.slice(0, 3).map((one) => `${one.rule}:${one.grade} ${one.text}`).join(' | ') }
}

const policy = createPolicy({ sensitivity: 2, challengeThreshold: CHALLENGE, blockThreshold: BLOCK })

const scoreWhole: Scorer = (observation) => {
  const score = scoreObservation(observation, policy)
  const top = score.factors.filter((factor) => factor.contribution > 0).sort((left, right) => right.contribution - left.contribution).slice(0, 3)
  return { score: score.value, grade: score.grade, why: top.map((factor) => `${factor.name}=${factor.contribution} ${factor.evidence[0]?.rule ?? ''} ${factor.evidence[0]?.text ?? ''}`).join(' | ') }
}

const scorer = process.argv.includes('--payload') ? scorePayload : scoreWhole
const records = readCorpora()
const observations = records.map(observe)
const before = process.cpuUsage()
const scored = observations.map((observation, at): Scored => {
  const made = scorer(observation)
  return { record: records[at]!, action: made.score >= BLOCK ? 'BLOCK' : made.score >= CHALLENGE ? 'CHALLENGE' : 'ALLOW', ...made }
})
const { user, system } = process.cpuUsage(before)
printReport(scored, Number(option('worst', '20')))
out(`\n${((user + system) / records.length).toFixed(1)} us of CPU per request over ${records.length}`)
