/**
 * `npm run bench` and `bench:quick`: the benches one after the other, each a process of its own, briefly. What a bench prints
 * is its result; here only what ran, how long, and whether it ended well. `quick` stays under a minute.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { machine } from './machine.ts'

const QUICK: string[][] = [['hop.ts', '--seconds', '0.3', '--rounds', '3'], ['clients.ts', '200000'], ['cost.ts', '--rounds', '1', '--seconds', '2', '--modes', 'ring'], ['flood.ts', '--seconds', '3', '--modes', 'ring']]
const FULL: string[][] = [['hop.ts'], ['clients.ts'], ['cost.ts'], ['price.ts', '--quick'], ['flood.ts'], ['load.ts', 'load'], ['load.ts', 'spike'], ['load.ts', 'stress']]
const BENCH_MS_MAX = 300_000

console.log(machine())
let failed = 0
for (const [file = '', ...args] of process.argv.includes('--quick') ? QUICK : FULL) {
  console.log(`\n# bench/${file} ${args.join(' ')}`)
  const startedMs = performance.now()
  const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args], { stdio: 'inherit', timeout: BENCH_MS_MAX })
  console.log(`# ${((performance.now() - startedMs) / 1000).toFixed(1)} s${status === 0 ? '' : `, ended with ${status}`}`)
  if (status !== 0) failed++
}
process.exitCode = failed === 0 ? 0 : 1
