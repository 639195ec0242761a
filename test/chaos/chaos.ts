import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { PASSWORD, bearer, createTestClient } from '../e2e/client.ts'
import { createDice, type Dice } from '../load/ordinary-bodies.ts'
import type { MongoServer } from '../services/mongo.ts'
import { freshAsker, pinnedAskers } from './asking.ts'
import { History, told, type Answer, type Asker, type Subject } from './history.ts'
import { listProblems } from './lists.ts'
import { MUTATIONS, NEW_PASSWORD, createKey } from './mutations.ts'
import { planOf, type Plan } from './nemesis.ts'
import { findIncidents, from, makePerson, openAttack, openPerson, openSession, type Trial } from './subjects.ts'
import { startSystem, WORKERS, type System } from './system.ts'
import { Trail, verifyProblem } from './trail.ts'

/**
 * Chaos: a mixed load of mutations while workers, the primary, the store and Redis are killed and return, and a judgement
 * of what was acknowledged (history.ts): in force in each process while it lasts and five seconds after the last
 * return, neither doubled nor undone, also after one more restart; refused ones did not happen; the trail holds; nobody
 * healthy was killed. One JSON line for each cycle.
 */
export interface ChaosOptions {
  seed: number
  /** The number of the first cycle, which says what is done to whom. */
  first?: number
  cycles: number
  /** Of one cycle's faults. */
  spanMs: number
  /** Also standstills of 20 s. */
  long: boolean
  /** Null: SQLite. */
  mongo: MongoServer | null
  /** One line after each cycle. */
  report (line: object): void
}

export interface Verdict {
  cycles: number
  acknowledged: number
  refused: number
  unknown: number
  /** Questions during the faults, and after the last return of each cycle. */
  probes: number
  looks: number
  violations: string[]
  /** What the servers wrote. */
  output (): string
}

const CLIENTS = 5
const THINK_MS = { min: 60, spread: 200 }
const PROBERS = 3
/** In force by then after an acknowledgement, with Redis and without. */
const FORCE_MS = 1_000
const FORCE_WITHOUT_REDIS_MS = 5_000
/** In force by then after the last return. */
const SETTLED_MS = 5_000
/** Events and lists are read from the store, which follows memory within ten seconds; half as much again for a busy machine. */
const EVENTS_MS = 15_000
/** Who has sessions to log out of. */
const PEOPLE = ['ana', 'ben', 'cem']
/** A restart that is no fault: what was undone in memory alone would show again. */
const RESTART_EVERY = 3
const PASSWORDS_TRIED = 2
/** Kinds that hold at any moment, also in a process that began without the store; the others need it, and are judged later. */
const LASTING = new Set(['address', 'session', 'key', 'person'])

export async function runChaos (t: Test, options: ChaosOptions): Promise<Verdict> {
  const history = new History()
  const system = await startSystem(t, { mongo: options.mongo, nowMs: () => history.nowMs() })
  const run = new Run(t, { ...options, history, system, dice: createDice(options.seed) })
  await run.prepare()
  const { first = 0, cycles } = options
  for (let cycle = first; cycle < first + cycles; cycle++) options.report(await run.cycle(cycle))
  return run.verdict
}

type RunOptions = ChaosOptions & { dice: Dice, history: History, system: System }

class Run {
  readonly verdict: Verdict = { cycles: 0, acknowledged: 0, refused: 0, unknown: 0, probes: 0, looks: 0, violations: [], output: () => this.#options.system.output() }
  readonly #t: Test
  readonly #options: RunOptions
  readonly #trail = new Trail()
  readonly #violated = new Map<string, { first: string, times: number }>()
  /** Of the server's own making, that were told already. */
  readonly #faults = new Set<string>()
  readonly #asker: Asker
  #trial: Trial | null = null
  #cycle = 0
  #count = 0
  #isQuiet = true

  constructor (t: Test, options: RunOptions) {
    this.#t = t
    this.#options = options
    this.#asker = freshAsker(options.system.url, (answer) => this.#note(answer))
  }

  async prepare (): Promise<void> {
    const { system, history, dice } = this.#options
    const client = createTestClient(this.#t, system)
    const { accessToken } = await client.login('admin', PASSWORD)
    this.#trial = {
      asker: this.#asker,
      history,
      dice,
      admin: bearer(accessToken),
      cycle: () => this.#cycle,
      next: () => this.#count++
    }
    for (const name of PEOPLE) await makePerson(this.#trial, name)
  }

  async cycle (cycle: number): Promise<object> {
    const { system, history, seed, spanMs, long, first = 0, cycles } = this.#options
    this.#cycle = cycle
    // Dice of its own: how often the load threw the other ones is up to the machine.
    const plan = planOf(cycle, { dice: createDice(seed + cycle), spanMs, long })
    const beganMs = history.nowMs()
    await this.#stock()
    const stockedMs = history.nowMs()
    this.#isQuiet = false
    const { steps, returnedMs } = await this.#underLoad(plan)
    this.#isQuiet = true
    await this.#lookAt('settled', history.subjects)
    await this.#tryPasswords(beganMs)
    const isLast = cycle === first + cycles - 1
    const restarts = isLast || cycle % RESTART_EVERY === RESTART_EVERY - 1
    if (restarts) await this.#restart()
    await this.#readStore(beganMs).catch((error: Error) => this.#violate(`the store is not read: ${error.message}`))
    for (const fault of system.faults()) {
      if (!this.#faults.has(fault)) this.#violate(fault)
      this.#faults.add(fault)
    }
    const counts = history.counts(beganMs)
    this.verdict.cycles++
    for (const key of ['acknowledged', 'refused', 'unknown'] as const) this.verdict[key] += counts[key]
    const violations = [...this.#violated].map(([what, { first, times }]) => `${what}\n  ${times} times, first ${first}`)
    this.#violated.clear()
    this.verdict.violations.push(...violations)
    const { away, victim, serverFirst } = plan
    return { cycle, away, victim, serverFirst, steps, beganMs, stockedMs, returnedMs, judgedMs: history.nowMs(), ...counts, violations }
  }

  /** What the load of a cycle ends: made while everything is there. */
  async #stock (): Promise<void> {
    const trial = this.#trial!
    const { history, spanMs } = this.#options
    const lack = (kind: string, state: string, wanted: number): number => Math.max(0, Math.ceil(wanted) - history.of(kind, state).length)
    const seconds = spanMs / 1000
    for (let i = lack('session', 'ANALYST', seconds * 1.5); i > 0; i--) await openSession(trial, PEOPLE[i % PEOPLE.length]!)
    for (let i = lack('key', 'held', seconds * 1.5); i > 0; i--) await createKey(trial)
    for (let i = lack('person', 'ANALYST', seconds / 2); i > 0; i--) await openPerson(trial)
    const unmarked = history.of('allowance', 'absent').filter(({ id }) => id === null).length
    for (let i = unmarked; i < 2; i++) await openAttack(trial)
    await findIncidents(trial)
  }

  /** Faults and load; the load ends so that its last answers are a second old when the time after the return is up. */
  async #underLoad (plan: Plan): Promise<{ steps: string[], returnedMs: number }> {
    const { system, history } = this.#options
    const stopping = new AbortController()
    const running = [
      ...Array.from({ length: CLIENTS }, () => this.#load(stopping.signal)),
      ...Array.from({ length: PROBERS }, () => this.#probe(stopping.signal))
    ]
    const steps = await this.#carryOut(plan)
    await system.whole()
    const returnedMs = history.nowMs()
    await sleep(SETTLED_MS - FORCE_MS)
    stopping.abort()
    await Promise.all(running)
    await sleep(Math.max(FORCE_MS, returnedMs + SETTLED_MS - history.nowMs()))
    return { steps, returnedMs }
  }

  async #carryOut ({ steps }: Plan): Promise<string[]> {
    const { system, history } = this.#options
    const done: string[] = []
    for (const { pauseMs, what, run } of steps) {
      await sleep(pauseMs)
      const beganMs = history.nowMs()
      await run(system)
      done.push(`${beganMs}-${history.nowMs()} ${what}`)
    }
    return done
  }

  async #load (signal: AbortSignal): Promise<void> {
    const { dice } = this.#options
    while (!signal.aborted) {
      await dice.of(MUTATIONS)(this.#trial!)
      await sleep(THINK_MS.min + dice.number(THINK_MS.spread))
    }
  }

  /** At any moment what was acknowledged long enough ago is in force in whichever process answers. */
  async #probe (signal: AbortSignal): Promise<void> {
    const { dice, history, system } = this.#options
    while (!signal.aborted) {
      await sleep(30 + dice.number(60))
      const subject = system.isServerDown() ? null : this.#settledSubject()
      if (subject === null) continue
      const { length } = subject.entries
      const askedMs = history.nowMs()
      let processId: string | null = null
      const asker = freshAsker(system.url, (answer) => {
        processId = answer.processId
        this.#note(answer)
      })
      const state = await subject.look(asker).catch(() => null)
      if (state === null || subject.isBusy || subject.entries.length !== length) continue
      this.verdict.probes++
      if (subject.states().has(state)) continue
      this.#violate(`not in force: ${state}\n  ${told(subject)}`, `process ${processId} at ${askedMs} ms`)
    }
  }

  #settledSubject (): Subject | null {
    const { dice, history, system } = this.#options
    const limitMs = history.nowMs() - (system.redis.isDown() ? FORCE_WITHOUT_REDIS_MS : FORCE_MS)
    if (system.frozenUntilMs() > limitMs) return null
    const settled = history.subjects.filter((subject) => LASTING.has(subject.kind) && !subject.isBusy &&
      subject.entries.length > 0 && subject.states().size === 1 && subject.changedMs() < limitMs)
    return settled.length === 0 ? null : dice.of(settled)
  }

  async #restart (): Promise<void> {
    const { system, history } = this.#options
    await system.stopServer()
    await system.startServer()
    const startedMs = history.nowMs()
    await this.#lookAt('after one more restart', history.subjects.filter(({ kind }) => LASTING.has(kind)))
    await sleep(Math.max(0, startedMs + SETTLED_MS - history.nowMs()))
    await this.#lookAt('after one more restart', history.subjects.filter(({ kind }) => !LASTING.has(kind)))
  }

  /** Each of them in every process. */
  async #lookAt (when: string, subjects: readonly Subject[]): Promise<void> {
    const { system } = this.#options
    const askers = await pinnedAskers(system.url, WORKERS, (answer) => this.#note(answer))
    const held = await Promise.all(askers.map(async (asker) => {
      const states: Array<string | null> = []
      for (const subject of subjects) states.push(await subject.look(asker).catch((error: Error) => `broken: ${error.message}`))
      return states
    }))
    for (const [i, subject] of subjects.entries()) {
      const states = held.map((one) => one[i]!)
      this.verdict.looks += states.filter((state) => state !== null).length
      const isWrong = states.some((state) => state !== null && !subject.states().has(state))
      if (isWrong || new Set(states.filter((state) => state !== null)).size > 1) this.#violate(`${when}: ${states.join(' and ')} in ${askers.map(({ processId }) => processId).join(' and ')}\n  ${told(subject)}`)
    }
    await Promise.all(askers.map((asker) => asker.close()))
  }

  /** A changed password signs in, and the old one does not. */
  async #tryPasswords (sinceMs: number): Promise<void> {
    const { history } = this.#options
    const changed = history.subjects.filter(({ entries }) => entries.some(({ event, outcome, atMs }) => event === 'user.password' && outcome === 'acknowledged' && atMs >= sinceMs))
    for (const subject of changed.slice(0, PASSWORDS_TRIED)) {
      for (const [password, isRight] of [[NEW_PASSWORD, true], [PASSWORD, false]] as const) {
        const { data, code } = await this.#asker.graphql('mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { expiresInSeconds } }', { u: subject.name, p: password }, from(0))
        if ((data?.login !== undefined && data.login !== null) !== isRight) this.#violate(`the ${isRight ? 'new' : 'old'} password: ${code ?? 'signed in'}\n  ${told(subject)}`)
      }
    }
  }

  async #readStore (sinceMs: number): Promise<void> {
    const { history, system } = this.#options
    const { admin } = this.#trial!
    const untilMs = history.nowMs() + EVENTS_MS
    for (;;) {
      const listed = await listProblems(this.#asker, history, admin)
      const { wrong, late } = await this.#trail.problems(this.#asker, history, { sinceMs, headers: admin })
      const isOver = history.nowMs() > untilMs
      for (const problem of isOver ? [...wrong, ...listed, ...late] : wrong) this.#violate(problem)
      if (listed.length + late.length === 0 || isOver) break
      await sleep(1_000)
    }
    const problem = await verifyProblem(system.dataDir, system.storeEnv)
    if (problem !== null) this.#violate(problem)
  }

  /** Whatever goes wrong is said with a code of ours, as 503 over HTTP; while everything is there nothing goes wrong. */
  #note ({ status, code }: Answer): void {
    const isTyped = code !== null && code.startsWith('NEKO_ERR_') && code !== 'NEKO_ERR_INTERNAL'
    const isWrong = status >= 500 ? status !== 503 || !isTyped || this.#isQuiet : code !== null && !isTyped
    if (isWrong) this.#violate(`answered ${status} ${code}`)
  }

  /** The same thing again only counts: a fault is seen many times over. */
  #violate (what: string, detail = ''): void {
    const before = this.#violated.get(what)
    if (before === undefined) this.#violated.set(what, { first: detail, times: 1 })
    else before.times++
  }
}
