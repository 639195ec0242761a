/**
 * Hop 1: what one look-up of an address costs while 100,000 decisions stand, ranges of both families included.
 * Addresses are new strings each time, as they come from a socket.
 *
 *   node bench/decisions.ts [decisions]
 */
import { NeverBlock } from '../src/decisions/never-block.ts'
import { createStanding } from '../src/decisions/standing.ts'
import type { Decision, DecisionScope } from '../src/decisions/shapes.ts'

const COUNT = Number(process.argv[2] ?? 100_000)
const LOOKUPS = 1_000_000
const ROUNDS = 5
const NOW = 1_800_000_000_000
let seed = 1
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor(seed / 2 ** 32 * below)
}
const four = (): string => `${random(223) + 1}.${random(256)}.${random(256)}.${random(256)}`
const six = (): string => ['2a01', random(4096).toString(16), ...Array.from({ length: 6 }, () => random(65_536).toString(16))].join(':')

const mixes: Record<string, () => [DecisionScope, string]> = {
  addresses: () => ['IP', four()],
  'IPv4 ranges /8-/32': () => ['RANGE', `${four()}/${Math.max(8, 32 - random(random(25) + 1))}`],
  'IPv6 ranges /32-/64': () => ['RANGE', `${six()}/${32 + 8 * random(5)}`],
  'half addresses, half ranges': () => random(2) === 0 ? ['IP', four()] : random(2) === 0 ? ['RANGE', `${four()}/${32 - random(17)}`] : ['RANGE', `${six()}/64`]
}

console.log(`node ${process.version}, ${COUNT} decisions, ${LOOKUPS} look-ups per figure`)
for (const [name, make] of Object.entries(mixes)) {
  const standing = createStanding({ neverBlock: new NeverBlock(['127.0.0.0/8', '::1/128']) })
  const start = performance.now()
  for (let i = 0; i < COUNT; i++) {
    const [scope, value] = make()
    const decision: Decision = { id: `dc_${i}`, scope, value, action: 'BLOCK', origin: 'user:bench', originKind: 'person', reason: 'bench', simulated: false, createdAt: NOW, expiresAt: NOW + 3_600_000 + i, assessmentId: null }
    standing.put(decision)
  }
  const putUs = (performance.now() - start) * 1000 / COUNT
  const sweepStart = performance.now()
  standing.sweep(NOW)
  const sweepMs = performance.now() - sweepStart
  console.log(`${name.padEnd(28)} put ${putUs.toFixed(2)} us   sweep ${sweepMs.toFixed(2)} ms   IPv4 ${measure(standing, four)} ns   IPv6 ${measure(standing, six)} ns`)
}

/** CPU nanoseconds per look-up, the best of five: strings never seen before are made outside of what is measured. */
function measure (standing: ReturnType<typeof createStanding>, make: () => string): string {
  let best = Infinity
  let found = 0
  for (let round = 0; round < ROUNDS; round++) {
    const addresses = Array.from({ length: LOOKUPS / ROUNDS }, () => Buffer.from(make()).toString('latin1'))
    const before = process.cpuUsage()
    for (const address of addresses) if (standing.forAddress(address, NOW, true) !== null) found++
    best = Math.min(best, process.cpuUsage(before).user * 1000 / addresses.length)
  }
  return found < 0 ? '' : best.toFixed(0).padStart(5)
}
