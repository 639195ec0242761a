/**
 * What clients did and what they were told, as entries by subject: the account on which a run is judged.
 *
 * A subject is one thing that only its own entries change (an address, a session, a key, a person ...), so that its
 * state follows from them alone. An acknowledged entry happened, a refused one did not, and of one whose answer never
 * came either may be true, as long as it is true everywhere.
 */
export type Outcome = 'acknowledged' | 'refused' | 'unknown'

export interface Entry {
  /** The state that it leads to. */
  to: string
  /** Type of the audit event that it leaves. */
  event: string
  /** Of its request, by which the event names it; null without an answer. */
  receipt: string | null
  atMs: number
  doneMs: number
  outcome: Outcome
  /** Of a refusal or a broken connection. */
  code: string | null
}

/** What a process holds; null when its answer says nothing (it was refused for another reason). */
export type Look = (asker: Asker) => Promise<string | null>

/** Asks one process, over one connection. Rejects when the connection breaks. */
export interface Asker {
  ask (path: string, headers: Record<string, string>): Promise<Answer>
  graphql (query: string, variables: object, headers: Record<string, string>): Promise<Answer>
}

export interface Answer {
  status: number
  data: Record<string, unknown> | null
  code: string | null
  processId: string | null
  /** x-neko-assessment. */
  receipt: string
  score: number
}

interface SubjectOptions {
  kind: string
  name: string
  /** Before the first entry. */
  first: string
  cycle: number
  look: Look
}

export class Subject {
  readonly kind: string
  readonly name: string
  readonly first: string
  readonly cycle: number
  readonly look: Look
  readonly entries: Entry[] = []
  /** The id that an acknowledgement told. */
  id: string | null = null
  /** A mutation of it is under way. */
  isBusy = false

  constructor ({ kind, name, first, cycle, look }: SubjectOptions) {
    this.kind = kind
    this.name = name
    this.first = first
    this.cycle = cycle
    this.look = look
  }

  /** The states that it may be in. */
  states (): Set<string> {
    let states = new Set([this.first])
    for (const { outcome, to } of this.entries) {
      if (outcome === 'acknowledged') states = new Set([to])
      if (outcome === 'unknown') states.add(to)
    }
    return states
  }

  is (state: string): boolean {
    const states = this.states()
    return !this.isBusy && states.size === 1 && states.has(state)
  }

  /** When the last of its answers came. */
  changedMs (): number {
    return this.entries.at(-1)?.doneMs ?? 0
  }
}

export class History {
  readonly subjects: Subject[] = []
  readonly #startMs = performance.now()

  /** Since the run began. */
  nowMs (): number {
    return Math.round(performance.now() - this.#startMs)
  }

  add (options: SubjectOptions): Subject {
    const subject = new Subject(options)
    this.subjects.push(subject)
    return subject
  }

  /** Those that nobody works on and whose state is known. */
  of (kind: string, ...states: string[]): Subject[] {
    return this.subjects.filter((subject) => subject.kind === kind && states.some((state) => subject.is(state)))
  }

  /** Entries by outcome of what was asked since. */
  counts (sinceMs: number): Record<Outcome, number> {
    const counts = { acknowledged: 0, refused: 0, unknown: 0 }
    for (const { entries } of this.subjects) for (const { atMs, outcome } of entries) if (atMs >= sinceMs) counts[outcome]++
    return counts
  }
}

/** For a person who reads why a run failed: the entries of one subject, a line each. */
export function told ({ kind, name, first, entries }: Subject): string {
  return [`${kind} ${name}, first ${first}`, ...entries.map(({ atMs, doneMs, event, to, outcome, code }) =>
    `${atMs}-${doneMs} ms ${event} -> ${to}: ${outcome}${code === null ? '' : ` (${code})`}`)].join('\n  ')
}
