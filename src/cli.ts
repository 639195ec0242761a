#!/usr/bin/env node
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { VerifyReport } from './audit/verify-report.ts'
import type { Checkpoint } from './audit/checkpoints.ts'
import type { Config } from './config/config.ts'
import type { ControlReply } from './processes/messages.ts'
import type { ClusterStatus } from './processes/status.ts'
import type { Json } from './std/json.ts'

/**
 * `neko`: the command of the server's operator. It talks to the server through DATA_DIR/neko.sock; what can be done
 * on the store alone is done here when no server runs, by the same rooms and the same verbs. It never ends the process
 * itself: it sets process.exitCode. Everything of ours is imported late, so that `--help` is quick and an older Node
 * can first hand over to the one that this package brings.
 */
const EX_OK = 0
const EX_FAILED = 1
/** The codes of sysexits.h. */
const EX_USAGE = 64
const EX_UNAVAILABLE = 69
const EX_CONFIG = 78

interface Values {
  'data-dir'?: string
  json?: boolean
  watch?: boolean
  format?: string
  against?: string
  because?: string
  help?: boolean
}
interface Call { args: string[], values: Values, dataDir: string }
interface Verb {
  usage: string
  about: string
  arguments: number
  /** Arguments that may follow. */
  more?: number
  options?: string[]
  run: (call: Call) => Promise<number>
}

const VERBS: Record<string, Verb> = {
  start: { usage: 'start', about: 'Runs the server in the foreground, as npm start does', arguments: 0, run: start },
  status: {
    usage: 'status [--watch]',
    about: 'Shows the processes of the running server; --watch every second',
    arguments: 0,
    options: ['watch'],
    run: status
  },
  reload: {
    usage: 'reload',
    about:
      'Replaces every worker by one with the configuration as it is now, losing no request; returns when all are ' +
      'replaced',
    arguments: 0,
    run: (call) => onServer(call, 'reload', null)
  },
  stop: {
    usage: 'stop',
    about: 'Finishes the requests under way and ends the server; returns when all its processes have drained',
    arguments: 0,
    run: (call) => onServer(call, 'stop', null)
  },
  'intel import': {
    usage: 'intel import <file or url> [--format stix|misp]',
    about: 'Imports a STIX bundle or a MISP galaxy cluster (plain or gzip), and ends with counts',
    arguments: 1,
    options: ['format'],
    run: importIntel
  },
  explain: {
    usage: 'explain <id>',
    about: 'Says why a request got its score: the receipt stands in the header x-neko-assessment',
    arguments: 1,
    run: (call) => onServerOrItsStore(call, 'explain', { id: call.args[0]! })
  },
  replay: {
    usage: 'replay <id>',
    about: 'Scores a stored request again with the rules as they are now, and shows both',
    arguments: 1,
    run: (call) => onServerOrItsStore(call, 'replay', { id: call.args[0]! })
  },
  'audit verify': {
    usage: 'audit verify [--against <checkpoint, file or log line>]',
    about:
      'Checks the audit trail: exit 0 when every sealed record holds, 1 when anything was edited, swapped, cut or is ' +
      'missing; --against: or not all is here that checkpoints sealed which were kept elsewhere. May run beside the ' +
      'server',
    arguments: 0,
    options: ['against'],
    run: verifyTrail
  },
  'audit accept': {
    usage: 'audit accept <trail> --because <text>',
    about:
      'Lets a log that audit verify finds damaged, or a trail that is gone, stand as it is: recorded with a digest, ' +
      'so that any later change is found again. <trail> as verify prints it; the reason has 1 to 500 characters',
    arguments: 1,
    options: ['because'],
    run: acceptTrail
  },
  'allowances list': {
    usage: 'allowances list',
    about: 'Shows what was marked as a false alarm, by whom and until when',
    arguments: 0,
    run: (call) => onServer(call, 'allowances list', null)
  },
  'allowances remove': {
    usage: 'allowances remove <id>',
    about: 'Ends one of them, in all processes at once',
    arguments: 1,
    run: (call) => onServer(call, 'allowances remove', { id: call.args[0]! })
  },
  'users password': {
    usage: 'users password <name>',
    about:
      'Gives somebody who lost it a new password, shown this once: it must be changed at the first sign-in. Ends all ' +
      'sessions of the user',
    arguments: 1,
    run: (call) => onServerOrItsStore(call, 'users password', { name: call.args[0]! })
  },
  'users unlock': {
    usage: 'users unlock <name>',
    about: 'Forgets failed logins, limits and decisions that keep a user out',
    arguments: 1,
    run: (call) => onServerOrItsStore(call, 'users unlock', { name: call.args[0]! })
  },
  'cache clear': {
    usage: 'cache clear [name]',
    about: 'Forgets kept answers in all processes at once: those of one cache (graphql), or of all',
    arguments: 0,
    more: 1,
    run: (call) => onServer(call, 'cache clear', { name: call.args[0] ?? null })
  },
  backup: {
    usage: 'backup <file>',
    about: 'Copies the store into a new file, also while the server runs',
    arguments: 1,
    run: backup
  }
}

let shownMs = -Infinity
/** Progress that came too soon after the last line: shown when it turns out to have been the end. */
let heldBack: string | null = null
const out = (text: string): void => { process.stdout.write(text.endsWith('\n') ? text : text + '\n') }
/** The reader of our output has gone (`neko status --watch | head`): no failure, and nothing more to say. */
let isReaderGone = false
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  isReaderGone = true
})
const err = (text: string): void => { process.stderr.write(text.endsWith('\n') ? text : text + '\n') }

if (!handOver()) process.exitCode = await main(process.argv.slice(2))

/** Node before 24.15 lacks what the server needs: the Node that this package installed beside itself takes over. */
function handOver (): boolean {
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number]
  if (major > 24 || (major === 24 && minor >= 15)) return false
  const ours = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url))
  if (!existsSync(ours)) {
    err(`neko needs Node 24.15 or later, this is ${process.versions.node}`)
    process.exitCode = EX_UNAVAILABLE
  } else {
    process.exitCode =
      spawnSync(ours, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
        .status ?? EX_FAILED
  }
  return true
}

async function main (argv: string[]): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        'data-dir': { type: 'string' },
        json: { type: 'boolean' },
        watch: { type: 'boolean' },
        format: { type: 'string' },
        against: { type: 'string' },
        because: { type: 'string' }
      }
    })
    const name = verbOf(positionals)
    if (name === null) {
      if (values.help === true || positionals[0] === 'help') return help()
      return misuse(positionals.length === 0 ? 'a verb is missing' : `"${positionals.join(' ')}" is no verb`)
    }
    const verb = VERBS[name]!
    if (values.help === true) return help(verb)
    const args = positionals.slice(name.split(' ').length)
    if (args.length < verb.arguments || args.length > verb.arguments + (verb.more ?? 0)) {
      return misuse(`expected: neko ${verb.usage}`)
    }
    const foreign = ['watch', 'format', 'against', 'because'].find((option) =>
      values[option as 'watch'] !== undefined && !(verb.options ?? []).includes(option)
    )
    if (foreign !== undefined) return misuse(`neko ${name} knows no --${foreign}`)
    return await verb.run({ args, values, dataDir: await dataDirOf(values) })
  } catch (error) {
    return failed(error)
  }
}

function verbOf (positionals: string[]): string | null {
  const two = positionals.slice(0, 2).join(' ')
  if (Object.hasOwn(VERBS, two)) return two
  return positionals[0] !== undefined && Object.hasOwn(VERBS, positionals[0]) ? positionals[0] : null
}

function help (verb?: Verb): number {
  const options = [
    '  --data-dir <dir>  where the server keeps its data (default: DATA_DIR, else .neko)',
    '  --json            the answer as JSON',
    '  --help            this text'
  ]
  if (verb !== undefined) {
    out([`neko ${verb.usage}`, '', `  ${verb.about}.`, '', 'Options:', ...options].join('\n'))
  } else {
    const width = Math.max(...Object.values(VERBS).map(({ usage }) => usage.length))
    out(
      [
        'neko <verb>: runs and asks the NEKO Defense API',
        '',
        ...Object.values(VERBS).map(({ usage, about }) => `  ${usage.padEnd(width)}  ${about}`),
        '',
        'Options:',
        ...options,
        '',
        'Exit codes: 0 done, 1 failed, 64 misuse, 69 no server runs there, 78 bad configuration.'
      ].join('\n')
    )
  }
  return EX_OK
}

function misuse (problem: string): number {
  err(`neko: ${problem}\nTry: neko --help`)
  return EX_USAGE
}

async function failed (error: unknown): Promise<number> {
  if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true) return misuse((error as Error).message)
  const { ConfigError } = await import('./config/config.ts')
  err(`neko: ${error instanceof Error ? error.message : 'failed'}`)
  return error instanceof ConfigError ? EX_CONFIG : EX_FAILED
}

/** The directory alone: asking a running server needs none of the secrets that its own environment holds. */
async function dataDirOf (values: Values): Promise<string> {
  const { readEnvironment, VARIABLES } = await import('./config/config.ts')
  const given = values['data-dir'] ?? readEnvironment().DATA_DIR
  return resolve(given === undefined || given === '' ? VARIABLES.DATA_DIR! : given)
}

async function configOf (dataDir: string): Promise<Config> {
  const { loadConfig, readEnvironment } = await import('./config/config.ts')
  // One process, nothing forked, scored where it is asked.
  return loadConfig({ ...readEnvironment(), DATA_DIR: dataDir, WORKERS: '1', SCORING_MODE: 'inline' })
}

async function ask (call: Call, verb: string, args: Json): Promise<Exclude<ControlReply, { progress: Json }> | null> {
  const { askServer } = await import('./processes/control-client.ts')
  return askServer({ dataDir: call.dataDir, verb, args }, showProgress)
}

/** On a terminal one line that changes; elsewhere at most a line a second. */
function showProgress (message: Json): void {
  const text = typeof message === 'string' ? message : JSON.stringify(message)
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else if (performance.now() - shownMs < 1000) heldBack = text
  else {
    shownMs = performance.now()
    heldBack = null
    err(text)
  }
}

function show (call: Call, reply: Exclude<ControlReply, { progress: Json }>): number {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  else if (heldBack !== null) err(heldBack)
  if (!reply.ok) {
    err(`neko: ${reply.error.message} (${reply.error.code})`)
    return EX_FAILED
  }
  const { result } = reply
  if (call.values.json !== true && typeof result === 'string') out(result)
  else if (
    call.values.json !== true && typeof result === 'object' && result !== null && !Array.isArray(result) &&
    typeof result.text === 'string'
  ) {
    out(result.text)
  } else if (result === null && call.values.json !== true) out('done')
  else out(JSON.stringify(result, null, 2))
  return EX_OK
}

function noServer (call: Call): number {
  err(`neko: no server runs on ${call.dataDir}: start it (npm start), or name its --data-dir`)
  return EX_UNAVAILABLE
}

async function onServer (call: Call, verb: string, args: Json): Promise<number> {
  const reply = await ask(call, verb, args)
  return reply === null ? noServer(call) : show(call, reply)
}

async function onServerOrStore (call: Call, verb: string, args: Json): Promise<number> {
  return show(call, await ask(call, verb, args) ?? await onStore(call, verb, args))
}

/** Asking makes nothing: where no server ever ran there is nobody and no receipt, and no store to find that out. */
async function onServerOrItsStore (call: Call, verb: string, args: Json): Promise<number> {
  requireData(call.dataDir)
  const reply = await ask(call, verb, args)
  if (reply === null) await requireStore(await configOf(call.dataDir))
  return show(call, reply ?? await onStore(call, verb, args))
}

function requireData (dataDir: string): void {
  if (!existsSync(dataDir)) throw new Error(`there is no data directory ${dataDir}`)
}

/** An embedded store that is not there is not made for the asking. */
async function requireStore (config: Config): Promise<void> {
  const { storageFile } = await import('./storage/open.ts')
  if (config.mongodbUri === null && !existsSync(storageFile(config.dataDir))) {
    throw new Error(`there is no store in ${config.dataDir}`)
  }
}

/** The whole application without its port, for one verb; it owns the data directory meanwhile, as a server does. */
async function onStore (
  call: Call,
  verb: string,
  args: Json
): Promise<Exclude<ControlReply, { progress: Json }>> {
  const [
    { createLogger },
    { createLocalFleet },
    control,
    { prepareStore },
    { buildApp },
    { systemClock },
    { newProcessId }
  ] = await Promise.all([
    import('./telemetry/logger.ts'),
    import('./fleet/local.ts'),
    import('./processes/control.ts'),
    import('./prepare.ts'),
    import('./app.ts'),
    import('./std/clock.ts'),
    import('./std/id.ts')
  ])
  const config = await configOf(call.dataDir)
  const processId = newProcessId()
  const logging = createLogger({ level: 'silent', processId, slot: 0 })
  const verbs = control.createControlVerbs(logging.log)
  const { mkdirSync } = await import('node:fs')
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 })
  const lock = await control.openControlSocket({
    dataDir: config.dataDir,
    verbs: control.createControlVerbs(logging.log),
    log: logging.log
  })
  try {
    const prepared = await prepareStore({
      config,
      clock: systemClock,
      log: logging.log,
      showFirstLogin: (password) => err(`first login: ${config.adminUsername} / ${password} (shown this once)`)
    })
    const clusterStatus = (): Promise<never> => Promise.reject(new Error('no server runs'))
    const fleet = createLocalFleet({ processId, clock: systemClock, log: logging.log })
    const app = await buildApp({
      config,
      fleet,
      clock: systemClock,
      prepared: { ...prepared },
      logging,
      control: verbs,
      draining: new AbortController().signal,
      clusterStatus
    })
    try {
      await app.ready()
      return await verbs.run(verb, args, showProgress) as Exclude<ControlReply, { progress: Json }>
    } finally {
      await app.close()
    }
  } finally {
    await lock.close()
  }
}

async function importIntel (call: Call): Promise<number> {
  const { format } = call.values
  if (format !== undefined && format !== 'stix' && format !== 'misp') return misuse('--format is stix or misp')
  const given = call.args[0]!
  const source = /^https?:\/\//i.test(given) ? given : resolve(given)
  if (source !== given && !existsSync(source)) return failed(new Error(`there is no file ${source}`))
  return onServerOrStore(call, 'intel import', { source, format: format ?? null })
}

async function status (call: Call): Promise<number> {
  const { statusText } = await import('./processes/status-text.ts')
  while (!isReaderGone) {
    const reply = await ask(call, 'status', null)
    if (reply === null) return noServer(call)
    if (!reply.ok || call.values.json === true) return show(call, reply)
    if (call.values.watch === true && process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J')
    out(statusText(reply.result as unknown as ClusterStatus))
    if (call.values.watch !== true) return EX_OK
    await sleep(1000)
  }
  return EX_OK
}

async function start (call: Call): Promise<number> {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url))
  const { environmentWith } = await import('./config/config.ts')
  const server = spawn(process.execPath, [main], { stdio: 'inherit', env: environmentWith({ DATA_DIR: call.dataDir }) })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => { server.kill(signal) })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', (code) => resolve(code ?? EX_FAILED))
  })
}

async function verifyTrail (call: Call): Promise<number> {
  const { auditSigner } = await import('./audit/audit.ts')
  const config = await configOf(call.dataDir)
  const against = await checkpointsOf(call.values.against)
  if (typeof against === 'string') return misuse(`--against: ${against}`)
  const report = await verifyWithStore(config, against)
  if (call.values.json === true) {
    // The public keys are what AUDIT_SIGNING_KEY may list instead of a secret that was rotated away.
    const signer = report.segments === 0 ? null : auditSigner(config)
    const keys = { keyId: signer?.keyId ?? null, publicKeys: Object.fromEntries(signer?.publicKeys ?? []) }
    out(JSON.stringify({ ...report, ...keys }, null, 2))
  } else {
    const accepted = report.accepted.length === 0 ? '' : `, with ${report.accepted.length} accepted`
    const line =
      (label: string) => ({ file, line, seq, message }: (typeof report.findings)[number]): string =>
        `${label} ${file}${line === null ? '' : `:${line}`}${seq === null ? '' : ` (seq ${seq})`}: ${message}`
    out([
      ...report.notes.map(line('note')),
      ...report.accepted.map(line('accepted')),
      ...report.findings.map(line('FAILED')),
      `${report.ok ? 'holds' : 'DOES NOT HOLD'}${accepted}: ${report.events} events in ${report.segments} segments ` +
      `of ${report.processes} processes, ${report.checkpoints} checkpoints, ${report.indexed} in the index, ` +
      `${report.unsealed} not yet sealed`,
      ...acceptable(report)
    ].join('\n'))
  }
  return report.ok ? EX_OK : EX_FAILED
}

/** What can be said about logs that do not hold, when somebody knows why. */
function acceptable ({ findings }: VerifyReport): string[] {
  const acceptable = findings.filter(({ isWitnessed }) => isWitnessed !== true)
  const trails = new Set(acceptable.map(({ trail }) => trail).filter((trail) => trail !== null))
  return trails.size === 0
    ? []
    : [
        'Accepted as they are, one by one, when you know why: neko audit accept <trail> --because <text>',
        ...[...trails].map((trail) => `  ${trail}`)
      ]
}

/** Judged by whoever signs it: nothing of what is accepted is taken from here but the name and the reason. */
async function acceptTrail (call: Call): Promise<number> {
  const { BECAUSE_MAX, isTrailName } = await import('./audit/acceptance.ts')
  const trail = call.args[0]!
  const because = (call.values.because ?? '').trim()
  if (!isTrailName(trail)) return misuse(`"${trail}" is no trail: take it from neko audit verify`)
  if (because === '' || because.length > BECAUSE_MAX) {
    return misuse(`--because needs a reason of 1 to ${BECAUSE_MAX} characters`)
  }
  requireData(call.dataDir)
  return onServerOrStore(call, 'audit accept', { trail, because })
}

/** What is wrong with it, in words, where it gives none. */
async function checkpointsOf (given: string | undefined): Promise<Checkpoint[] | string> {
  if (given === undefined) return []
  const { readKeptCheckpoints } = await import('./audit/kept-checkpoints.ts')
  try {
    return readKeptCheckpoints(given)
  } catch (error) {
    return (error as Error).message
  }
}

/** A store that is away, or cannot be opened, keeps nobody from judging the files. */
async function verifyWithStore (config: Config, against: readonly Checkpoint[]): Promise<VerifyReport> {
  requireData(config.dataDir)
  const [{ verifyDataDir }, { isStoreError }, { usersSince }, { storageFile }] = await Promise.all([
    import('./audit/verify.ts'),
    import('./audit/store-error.ts'),
    import('./identity/collections.ts'),
    import('./storage/open.ts')
  ])
  // Opening would make an empty one.
  if (config.mongodbUri === null && !existsSync(storageFile(config.dataDir))) {
    return await verifyDataDir(config, null, { against, why: `there is no ${storageFile(config.dataDir)}` })
  }
  try {
    return await withStore(config, async (storage) =>
      await verifyDataDir(config, storage, { against, usersSince: await usersSince(storage) }))
  } catch (error) {
    if (!isStoreError(error)) throw error
    return await verifyDataDir(config, null, { against, why: (error as Error).message })
  }
}

async function backup (call: Call): Promise<number> {
  const file = resolve(call.args[0]!)
  requireData(call.dataDir)
  const config = await configOf(call.dataDir)
  await requireStore(config)
  await withStore(config, (storage) => storage.backup(file))
  out(`written: ${file}`)
  return EX_OK
}

/** The store alone, beside a server or without one. */
async function withStore<T> (
  config: Config,
  use: (storage: Awaited<ReturnType<typeof import('./storage/open.ts')['openStorage']>>) => Promise<T>
): Promise<T> {
  requireData(config.dataDir)
  const [{ openStorage }, { silentLog }, { systemClock }] = await Promise.all([
    import('./storage/open.ts'),
    import('./storage/log.ts'),
    import('./std/clock.ts')
  ])
  const storage = await openStorage({ config, clock: systemClock, log: silentLog })
  try {
    return await use(storage)
  } finally {
    await storage.close()
  }
}
