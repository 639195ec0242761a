import type { Subject } from '../findings.ts'

/**
 * Of the signs from `before` on, drops those that repeat a rule and a grade with no more value: thousands of tags or
 * expressions with the same fault leave one sign, the first, as the payload factor does in the end. Each sign that
 * stays is looked for in the whole text before it is shown.
 */
export function dropRepeatedSigns (signs: Subject['signs'], before: number): void {
  let kept = before
  for (let at = before; at < signs.length; at++) {
    const sign = signs[at] as Subject['signs'][number]
    const isKnown = signs.some((one, place) =>
      place < kept && one.rule === sign.rule && one.grade === sign.grade && one.value >= sign.value)
    if (!isKnown) signs[kept++] = sign
  }
  signs.length = kept
}
