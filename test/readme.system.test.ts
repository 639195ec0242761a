import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { bareEnvironment } from './server.ts'
import { freePort } from './services/free-port.ts'

/**
 * The README as a stranger uses it: its `sh` blocks are run one behind the other by one shell, in a copy of what is
 * tracked, and what each prints has the shape of the `text` block behind it, where `…` stands for anything.
 * What differs from the page: the ports, and `npm ci`, whose result is shared (`.ci/run` begins with it).
 */
interface Block { command: string, shown: string | null }

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const WAIT_MS = 60_000

t.test('what the README says to type does what it shows', async (t) => {
  const [start, ...blocks] = blocksOf(readme)
  const ports = { 4000: await freePort(), 9464: await freePort() }
  const shell = new Shell(t, copyOfProject(t), ports)
  t.match(readFileSync(join(root, '.ci/run'), 'utf8'), /^npm ci\b/m, 'the first half of the first command is run before')
  const server = shell.run(start!.command.replace('npm ci && ', ''))
  await shows(t, server, start!)
  const password = /first login +admin \/ (\S+)/.exec(server.text())![1] as string
  for (const { command, shown } of blocks) {
    const ready = command.replace("PASSWORD='…'", `PASSWORD='${password}'`)
    const block = { command: ready, shown }
    if (ready.includes('subscription')) await listens(t, shell, block, blocks.find((one) => one.command.includes('"act": true'))!.command)
    else await ends(t, shell.run(ready), block)
  }
  server.end('SIGINT')
  t.equal(await server.ended, 0, 'Ctrl-C ends it')
})

/** Runs the subscription as in one terminal, and the attack as in another, until something is heard. */
async function listens (t: Test, shell: Shell, block: Block, attack: string): Promise<void> {
  const listener = shell.run(block.command)
  for (let address = 8; address < 40 && listener.text() === ''; address++) {
    await shell.run(attack.replace(/PASSWORD=[\s\S]*?\nTOKEN=[\s\S]*?\n(?=curl)/, '').replace('203.0.113.7', `203.0.113.${address}`)).ended
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  await shows(t, listener, { ...block, shown: block.shown!.replace('203.0.113.8', '203.0.113.…') })
  listener.end('SIGINT')
}

/** A command that ends, with its output. */
async function ends (t: Test, run: Run, block: Block): Promise<void> {
  const code = await run.ended
  if (block.shown === null) t.equal(code, 0, block.command)
  else showsShape(t, run, block)
}

/** One that goes on, such as the server, until it has shown what it shows. */
async function shows (t: Test, run: Run, block: Block): Promise<void> {
  const shape = shapeOf(block.shown!)
  const deadline = performance.now() + WAIT_MS
  while (performance.now() < deadline && !shape.test(run.text())) await new Promise((resolve) => setTimeout(resolve, 50))
  showsShape(t, run, block)
}

function showsShape (t: Test, run: Run, { command, shown }: Block): void {
  t.ok(shapeOf(shown!).test(run.text()), `${command.split('\n')[0]}\n${run.text()}\nshown: ${shown}`)
}

function blocksOf (text: string): Block[] {
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```\n(?:```text\n([\s\S]*?)^```\n)?/gm)].map(([, command, shown]) => ({ command: command as string, shown: shown ?? null }))
}

/** A line that is `…` alone stands for any lines, also none; elsewhere it stands for the rest of one. */
function shapeOf (shown: string): RegExp {
  const lines = shown.trimEnd().split('\n').map((line) => line === '…' ? '(?:.*\\n)*?' : `${line.split('…').map((part) => RegExp.escape(part)).join('.*?')}\\n`)
  return new RegExp(`^${lines.join('')}$`.replace(/\\n\$$/, '\\n*$'), 'm')
}

interface Run {
  text (): string
  /** Its exit code. */
  ended: Promise<number | null>
  end (signal: NodeJS.Signals): void
}

/** Terminals of one person: variables that a command sets are there for the next one. */
class Shell {
  readonly #folder: string
  readonly #ports: Record<string, number>
  readonly #t: Test
  #seen = ''

  constructor (t: Test, folder: string, ports: Record<string, number>) {
    this.#t = t
    this.#folder = folder
    this.#ports = ports
  }

  run (command: string): Run {
    const script = this.#ported(command.replace(/\b(as|dc)_…/g, (_all, kind: string) => this.#lastOf(kind)))
    // Put in place whole: a command in the background ends beside the next one.
    const child: ChildProcess = spawn('bash', ['-c', `set -a; [ -f ../variables ] && . ../variables\n${script}\ncode=$?; declare -p TOKEN KEY PASSWORD 2>/dev/null | sed 's/^declare -x /export /' > ../variables.$$; mv ../variables.$$ ../variables; exit $code`], {
      cwd: this.#folder,
      env: { ...bareEnvironment(), PORT: String(this.#ports[4000]), METRICS_PORT: String(this.#ports[9464]) },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true
    })
    let text = ''
    const read = (chunk: string): void => {
      text += chunk.replaceAll('\r', '')
      this.#seen += chunk
    }
    for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding('utf8').on('data', read)
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const end = (signal: NodeJS.Signals): void => { try { process.kill(-child.pid!, signal) } catch { /* It is gone. */ } }
    this.#t.teardown(() => end('SIGKILL'))
    return { text: () => this.#unported(text), ended, end }
  }

  #lastOf (kind: string): string {
    return [...this.#seen.matchAll(new RegExp(`\\b${kind}_[a-z0-9_]+`, 'g'))].at(-1)?.[0] ?? `${kind}_…`
  }

  #ported (text: string): string {
    return Object.entries(this.#ports).reduce((one, [shown, port]) => one.replaceAll(`:${shown}`, `:${port}`), text)
  }

  #unported (text: string): string {
    return Object.entries(this.#ports).reduce((one, [shown, port]) => one.replaceAll(`:${port}`, `:${shown}`), text)
  }
}

/** What a clone would hold, with the packages of this checkout. */
function copyOfProject (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'neko-readme-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }))
  const project = join(folder, 'neko')
  for (const path of execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).trim().split('\n')) {
    cpSync(join(root, path), join(project, path))
  }
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  return project
}
