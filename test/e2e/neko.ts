import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bareEnvironment } from '../server.ts'

/** The command `neko` as its users have it: a process of its own, with nothing of this one's environment. */
export interface Done { code: number, stdout: string, stderr: string, ms: number }

export const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

/** Starts it on a data directory and does not wait: for those that are watched. */
export function spawnNeko (dataDir: string, args: readonly string[], env: Record<string, string> = {}) {
  return spawn(process.execPath, [CLI, ...args], {
    cwd: dataDir,
    env: { ...bareEnvironment(), ...compileCache(), NODE_ENV: 'test', DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

export async function neko (dataDir: string, args: readonly string[], env: Record<string, string> = {}): Promise<Done> {
  const startMs = performance.now()
  const child = spawnNeko(dataDir, args, env)
  const texts = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', (chunk: string) => { texts[name] += chunk })
  const [code] = await once(child, 'close') as [number]
  return { code, ...texts, ms: performance.now() - startMs }
}

/** Half of what a verb costs is compiling it, and tests run dozens. Coverage counts only what was compiled anew. */
function compileCache (): Record<string, string> {
  const { NODE_V8_COVERAGE, NODE_COMPILE_CACHE = join(tmpdir(), 'node-compile-cache') } = process.env
  return NODE_V8_COVERAGE === undefined ? { NODE_COMPILE_CACHE } : {}
}
