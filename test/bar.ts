import type { Test } from 'tap'

/**
 * What the tier `timing` judges by: times are measured and reported beside their bar; since machines are shared, a test
 * fails only when a time is several times over it. Counts have no slack. NEKO_TEST_SLACK=1 holds times to the letter.
 */
const SLACK = Number(process.env.NEKO_TEST_SLACK ?? 5)

export function withinBar (t: Test, what: string, measured: number, bar: number, unit = 'ms'): void {
  showFigure(t, what, measured, bar, unit)
  t.ok(measured <= bar * SLACK, `${what}: ${measured.toFixed(1)} ${unit} (bar ${bar} ${unit}, slack ${SLACK}x)`)
}

/**
 * A time that a test of another tier met on its way: printed beside its bar and judged by nobody, since others run beside
 * it. What it waited for has a bound of its own.
 */
export function showFigure (t: Test, what: string, measured: number, bar: number, unit = 'ms'): void {
  t.comment(`${what}: ${measured.toFixed(1)} ${unit}, bar ${bar} ${unit}${measured > bar ? ' (over it here)' : ''}`)
}

/** A bar with its slack, for waits. */
export function slack (barMs: number): number {
  return barMs * SLACK
}

/**
 * Milliseconds of processor time that this thread took so far: what measures one call among ten thousand, since a pause
 * in which the machine ran somebody else is no fault of the call.
 */
export function threadMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
