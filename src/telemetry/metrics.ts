import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { followedSeries, handOver } from './tallies.ts'

/**
 * Every figure NEKO shows to Prometheus, made once per process. A property is the metric's name without
 * `neko_` (deploy/reference.md, "Metrics").
 *
 * Labels come from closed sets of ours only, never a path, agent or operation name from outside, so that no client can
 * grow the number of series. How a fleet's values become one is said here, where the metric is made
 * (`aggregator`): what counts work is summed, what every process knows alike is the largest, and health is the worst.
 */
export interface Metrics {
  /** Rooms may add metrics of their own: `new Counter({ ..., registers: [metrics.registry] })`. */
  readonly registry: Registry
  readonly httpRequestsTotal: Counter<'method' | 'status' | 'route'>
  readonly httpRequestDurationSeconds: Histogram
  readonly httpRequestsInFlight: Gauge
  readonly assessmentsTotal: Counter<'action' | 'source'>
  readonly assessmentScore: Histogram
  readonly factorContribution: Histogram<'factor'>
  readonly scoringDurationSeconds: Histogram<'mode'>
  readonly scoringQueueSize: Gauge
  readonly scoringMissingTotal: Counter<'reason'>
  readonly limitDecisionsTotal: Counter<'tier' | 'result' | 'store'>
  readonly cacheRequestsTotal: Counter<'cache' | 'result'>
  /** 0 closed, 1 half-open, 2 open; the fleet shows the most open one. */
  readonly breakerState: Gauge<'name'>
  /** Every process holds all decisions: the fleet shows the largest, not the sum. */
  readonly decisionsActive: Gauge<'action'>
  readonly playbookRunsTotal: Counter<'playbook' | 'result'>
  readonly auditEventsTotal: Counter<'category'>
  readonly auditBacklog: Gauge
  /** 1 or 0; the fleet shows the worst. */
  readonly storageUp: Gauge
  readonly redisUp: Gauge
  /** Set by the primary, or by the one server at WORKERS=1. */
  readonly processes: Gauge<'state'>
  readonly processRestartsTotal: Counter<'reason'>
  readonly logLinesDroppedTotal: Counter
}

/** Methods that keep their name as a label; everything else is `other`. */
const METHODS = new Set(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH'])

/** A request's method as a bounded label. */
export function methodLabel (method: string): string {
  return METHODS.has(method) ? method : 'other'
}

// From 0.5 ms (a cached answer) to 10 s (the handler's budget): P50, P95 and P99 fall between neighbours of a
// factor of 2.
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
// From 5 us (a clean small request) to 150 ms (the score's deadline).
const SCORING_SECONDS = [
  0.000005,
  0.00001,
  0.000025,
  0.00005,
  0.0001,
  0.00025,
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.05,
  0.15
]
const SCORES = [0, 10, 20, 30, 40, 50, 60, 75, 90, 100]

/** One set per process, on a registry of its own: nothing is shared through prom-client's global one. */
export function createMetrics (options: { defaults?: boolean, linesDropped?: () => number } = {}): Metrics {
  const registry = new Registry()
  if (options.defaults !== false) collectDefaultMetrics({ register: registry })
  const registers = [registry]

  const counter = <L extends string = never> (name: string, help: string, labelNames: L[] = []): Counter<L> =>
    new Counter({ name: `neko_${name}`, help, labelNames, registers, collect: handOver })
  const gauge = <L extends string = never>(
    name: string,
    help: string,
    aggregator: 'sum' | 'max' | 'min',
    labelNames: L[] = []
  ): Gauge<L> => new Gauge({ name: `neko_${name}`, help, labelNames, registers, aggregator, collect: handOver })
  const histogram = <L extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: L[] = []
  ): Histogram<L> => new Histogram({ name: `neko_${name}`, help, labelNames, buckets, registers, collect: handOver })

  const logLinesDroppedTotal = counter(
    'log_lines_dropped_total',
    'Lines about requests that nobody read from stdout in time'
  )
  followedSeries(logLinesDroppedTotal, {}, options.linesDropped ?? (() => 0))

  return {
    registry,
    httpRequestsTotal: counter(
      'http_requests_total',
      'Requests answered, by method, status and registered route',
      ['method', 'status', 'route']
    ),
    httpRequestDurationSeconds: histogram(
      'http_request_duration_seconds',
      "Time from a request's first byte to its last answered one",
      REQUEST_SECONDS
    ),
    httpRequestsInFlight: gauge('http_requests_in_flight', 'Requests being answered now', 'sum'),
    assessmentsTotal: counter(
      'assessments_total',
      'Requests judged, by action and where the score came from',
      ['action', 'source']
    ),
    assessmentScore: histogram('assessment_score', 'Scores given, 0 to 100', SCORES),
    factorContribution: histogram('factor_contribution', 'Points that each factor added to a score', SCORES, [
      'factor'
    ]),
    scoringDurationSeconds: histogram(
      'scoring_duration_seconds',
      'Time from asking for a score to having it',
      SCORING_SECONDS,
      ['mode']
    ),
    scoringMissingTotal: counter(
      'scoring_missing_total',
      'Requests without a full score in time: answered in a hurry, or refused for it',
      ['reason']
    ),
    scoringQueueSize: gauge('scoring_queue_size', 'Observations waiting for a thread', 'sum'),
    limitDecisionsTotal: counter(
      'limit_decisions_total',
      'Answers of the limiter, by tier, result and store',
      ['tier', 'result', 'store']
    ),
    cacheRequestsTotal: counter('cache_requests_total', 'Look-ups in the named caches, by result', ['cache', 'result']),
    breakerState: gauge('breaker_state', '0 closed, 1 half-open, 2 open', 'max', ['name']),
    decisionsActive: gauge('decisions_active', 'Standing decisions in force, by action', 'max', ['action']),
    playbookRunsTotal: counter('playbook_runs_total', 'Runs of playbooks, by result', ['playbook', 'result']),
    auditEventsTotal: counter('audit_events_total', 'Events written to the audit trail, by category', ['category']),
    auditBacklog: gauge('audit_backlog', 'Audit events waiting to be written', 'sum'),
    storageUp: gauge('storage_up', '1 while the database answers', 'min'),
    redisUp: gauge('redis_up', '1 while Redis answers', 'min'),
    processes: gauge('processes', 'Processes of this host, by state', 'sum', ['state']),
    processRestartsTotal: counter('process_restarts_total', 'Processes replaced, by reason', ['reason']),
    logLinesDroppedTotal
  }
}
