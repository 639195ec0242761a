/** What a run over a corpus says: rates per class, balanced accuracy, area under the curve, the worst misses and false alarms. */
import type { CorpusRecord, Scored } from './corpus.ts'

const HAND = 50
const REFUSALS_TO_BAN = 3
const BAN_SCORE = 90

const share = (records: Scored[], counts: (one: Scored) => boolean): number => records.length === 0 ? 0 : records.filter(counts).length / records.length
const isBlocked = (one: Scored): boolean => one.action === 'BLOCK'
const isTouched = (one: Scored): boolean => one.action !== 'ALLOW'
const percent = (value: number): string => (value * 100).toFixed(2).padStart(7)

export const out = (line: string): void => { process.stdout.write(line + '\n') }

function groupBy (records: Scored[], key: (record: CorpusRecord) => string): Map<string, Scored[]> {
  const groups = new Map<string, Scored[]>()
  for (const scored of records) {
    const known = groups.get(key(scored.record))
    known === undefined ? groups.set(key(scored.record), [scored]) : known.push(scored)
  }
  return groups
}

/** Area under the ROC curve by ranks, ties at half. */
function areaUnderCurve (bad: Scored[], good: Scored[]): number {
  const all = [...bad.map((one) => ({ score: one.score, bad: true })), ...good.map((one) => ({ score: one.score, bad: false }))].sort((left, right) => left.score - right.score)
  let ranks = 0
  for (let from = 0; from < all.length;) {
    let to = from
    while (to < all.length && all[to]!.score === all[from]!.score) to++
    for (let at = from; at < to; at++) if (all[at]!.bad) ranks += (from + to + 1) / 2
    from = to
  }
  return (ranks - bad.length * (bad.length + 1) / 2) / (bad.length * good.length)
}

function printGroups (title: string, groups: Map<string, Scored[]>): void {
  out(`\n${title.padEnd(24)}      n   block%  block-or-challenge%  certain%`)
  for (const [name, records] of [...groups].sort((left, right) => right[1].length - left[1].length)) {
    out(`${name.padEnd(24)} ${String(records.length).padStart(6)}  ${percent(share(records, isBlocked))}  ${percent(share(records, isTouched))}              ${percent(share(records, (one) => one.grade === 'certain'))}`)
  }
}

function printRates (title: string, bad: Scored[], good: Scored[], counts: (one: Scored) => boolean): void {
  const alarms = share(good, counts)
  const classes = [...groupBy(bad, (record) => record.class).values()]
  const macro = classes.reduce((sum, records) => sum + (share(records, counts) + 1 - alarms) / 2, 0) / classes.length
  const twin = (records: Scored[]): Scored[] => records.filter((one) => one.record.group === 'twin-modern')
  const twins = (share(twin(bad), counts) + 1 - share(twin(good), counts)) / 2
  out(`${title.padEnd(20)} balanced accuracy ${((share(bad, counts) + 1 - alarms) / 2).toFixed(4)}  macro over classes ${macro.toFixed(4)}  TPR ${percent(share(bad, counts))}  FPR ${percent(alarms)}  twin-modern ${twins.toFixed(4)} (${twin(bad).length} + ${twin(good).length})`)
}

/** Hands of `size` requests, in the order given, that would earn their address a standing block: the rule of the playbooks. */
export function countBans (order: Scored[], size = HAND): { bans: number, addresses: number } {
  let bans = 0
  let addresses = 0
  for (let at = 0; at < order.length; at += size, addresses++) {
    const hand = order.slice(at, at + size)
    if (hand.some((one) => one.score >= BAN_SCORE || one.grade === 'certain') || hand.filter(isBlocked).length >= REFUSALS_TO_BAN) bans++
  }
  return { bans, addresses }
}

/** In file order, and dealt at random (seeded). */
function printBans (good: Scored[]): void {
  let seed = 42
  const dealt = good.map((one) => ({ one, key: (seed = Math.imul(seed, 1103515245) + 12345 >>> 0) })).sort((left, right) => left.key - right.key).map((entry) => entry.one)
  const [random, ordered] = [countBans(dealt), countBans(good)]
  out(`standing bans of benign addresses at ${HAND} requests: dealt ${random.bans} of ${random.addresses}, in file order ${ordered.bans} of ${ordered.addresses}`)
}

function printOne ({ record, score, why }: Scored): void {
  const { method, url, body = '' } = record.request
  out(`${score.toFixed(0).padStart(3)} ${record.class} ${record.id} ${why}\n      ${method} ${url.slice(0, 160)} ${body.slice(0, 160).replaceAll('\n', '\\n')}`)
}

/** Prints the whole report; `worst` misses and false alarms. */
export function printReport (scored: Scored[], worst: number): void {
  const bad = scored.filter((one) => one.record.label === 'malicious')
  const good = scored.filter((one) => one.record.label === 'benign')
  printGroups('malicious class', groupBy(bad, (record) => record.class))
  printGroups('benign tier', groupBy(good, (record) => record.tier ?? 'ordinary'))
  printGroups('benign class', groupBy(good, (record) => record.class))
  out('')
  if (bad.length > 0 && good.length > 0) {
    printRates('block', bad, good, isBlocked)
    printRates('block or challenge', bad, good, isTouched)
    out(`ROC AUC of the score ${areaUnderCurve(bad, good).toFixed(4)}`)
  }
  printBans(good)
  out('\nworst false alarms')
  good.filter((one) => isBlocked(one) || one.grade === 'certain').sort((left, right) => right.score - left.score).slice(0, worst).forEach(printOne)
  out('\nworst misses')
  bad.filter((one) => !isBlocked(one)).sort((left, right) => left.score - right.score).slice(0, worst).forEach(printOne)
}
