import { execFileSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'

interface Machine {
  commit: string
  cores: number
  model: string
  /** Of the last minute. */
  load: number
  node: string
}

/** Where figures come from, for the line above them: a figure without its machine and commit says nothing. */
export function machine (): string {
  const { commit, cores, model, load, node } = machineFacts()
  return `commit ${commit}, ${cores} x ${model}, load ${load.toFixed(1)}, Node ${node}`
}

/** The same as data, for results that a program reads. */
export function machineFacts (): Machine {
  let commit = 'unknown'
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore']
    }).trim()
  } catch {
    // Not a checkout (an image, a tarball).
  }
  const [first] = cpus()
  return {
    commit,
    cores: cpus().length,
    model: first?.model.trim() ?? 'unknown',
    load: loadavg()[0] as number,
    node: process.version
  }
}
