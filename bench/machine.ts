import { execFileSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'

/** Where figures come from, for the line above them: a figure without its machine and commit says nothing. */
export function machine (): string {
  let commit = 'unknown'
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    // Not a checkout (an image, a tarball).
  }
  return `commit ${commit}, ${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, load ${(loadavg()[0] as number).toFixed(1)}, Node ${process.version}`
}
