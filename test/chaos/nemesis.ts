import type { Dice } from '../load/ordinary-bodies.ts'
import type { System } from './system.ts'

/**
 * What goes wrong in one cycle: which service is away, what is done to the server meanwhile, and which of the two
 * returns first. Every fault ends within its cycle. One seed makes the same plans each time; what they meet is up to
 * the machine.
 */
const VICTIMS = ['worker', 'primary', 'workers', 'term', 'pause'] as const
/** Standing still for longer than a hung worker is waited for: of a whole machine, of the primary alone, of one worker. */
const LONG_VICTIMS = ['frozen', 'frozen primary', 'hung worker'] as const
const AWAY = ['store', 'store', 'store', 'redis', 'both', 'both', 'none'] as const
const FROZEN_MS = 20_000

export type Victim = typeof VICTIMS[number] | typeof LONG_VICTIMS[number]

/** After `pauseMs` of what went before. */
export interface Step { pauseMs: number, what: string, run (system: System): Promise<unknown> }

export interface Plan { away: typeof AWAY[number], victim: Victim, serverFirst: boolean, steps: Step[] }

interface PlanOptions {
  dice: Dice
  /** About a cycle's pauses together; what a fault takes comes on top. */
  spanMs: number
  /** Also standstills of 20 s. */
  long: boolean
}

/**
 * Of one cycle. Victims take turns, in one round in one order of return and in the next in the other. Steps follow each
 * other, so that a service returns after the server is whole again however slow the machine is.
 */
export function planOf (cycle: number, { dice, spanMs, long }: PlanOptions): Plan {
  const victims: readonly Victim[] = long ? [...VICTIMS, ...LONG_VICTIMS] : VICTIMS
  const [round, turn] = [Math.floor(cycle / victims.length), cycle % victims.length]
  const victim = victims[turn]!
  const serverFirst = round % 2 === turn % 2
  const away = dice.of(AWAY)
  const pause = (share: number): number => Math.round(spanMs * share * (0.5 + dice.number(1000) / 1000))
  const services = [['store', 'the store'], ['redis', 'Redis']] as const
  const gone = services.filter(([service]) => away === service || away === 'both')
  if (dice.number(2) === 0) gone.reverse()
  const go = gone.map(([service, name]): Step => ({ pauseMs: pause(0.1), what: `${name} goes`, run: (system) => system[service].down() }))
  const come = gone.map(([service, name]): Step => ({ pauseMs: pause(0.1), what: `${name} returns`, run: (system) => system[service].up() }))
  const whole: Step = { pauseMs: pause(0.05), what: 'the server is whole', run: (system) => system.whole() }
  const { fault, mend } = whatHappens(victim, { pauseMs: pause(0.2), standstillMs: pause(0.3) })
  // A moment in which the server serves without what is away, or in which what is away is back and the server is not.
  const between: Step = { pauseMs: pause(0.3), what: 'half is back', run: async () => {} }
  const back = serverFirst ? [...mend, whole, between, ...come] : [...come, ...mend.length === 0 ? [] : [between, ...mend], whole]
  // While what died is still being brought in.
  const again: Step[] = dice.number(3) === 0 ? [{ pauseMs: pause(0.05), what: 'a worker is killed', run: (system) => system.killWorkers(1) }] : []
  return { away, victim, serverFirst, steps: [...go, fault, ...back, ...again] }
}

/** A fault, and what ends it where it does not end by itself. */
function whatHappens (victim: Victim, { pauseMs, standstillMs }: { pauseMs: number, standstillMs: number }): { fault: Step, mend: Step[] } {
  const step = (what: string, run: Step['run']): Step => ({ pauseMs, what, run })
  const ended = (what: string, run: Step['run']): { fault: Step, mend: Step[] } =>
    ({ fault: step(what, run), mend: [step('the server starts', (system) => system.startServer())] })
  switch (victim) {
    case 'worker': return { fault: step('a worker is killed', (system) => system.killWorkers(1)), mend: [] }
    case 'workers': return { fault: step('all workers are killed', (system) => system.killWorkers(2)), mend: [] }
    case 'primary': return ended('the primary is killed', (system) => system.killServer())
    case 'term': return ended('SIGTERM', (system) => system.stopServer())
    case 'pause': return { fault: step('all stand still', (system) => system.freeze('all', standstillMs)), mend: [] }
    case 'frozen': return { fault: step('all stand still for long', (system) => system.freeze('all', FROZEN_MS)), mend: [] }
    case 'frozen primary': return { fault: step('the primary stands still', (system) => system.freeze('primary', FROZEN_MS)), mend: [] }
    case 'hung worker': return { fault: step('a worker hangs', (system) => system.freeze('worker', FROZEN_MS)), mend: [] }
  }
}
