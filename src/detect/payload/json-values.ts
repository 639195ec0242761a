import { JSON_DEPTH_MAX, VALUES_MAX } from './bounds.ts'
import type { PlaceKind } from './findings.ts'

type OnValue = (kind: PlaceKind, place: string, text: string, field: string) => void
type OnName = (place: string, name: string) => void

interface Step { value: unknown, place: string, field: string, depth: number }

/** Visits every string and every key of parsed JSON, without recursion, bounded in depth and count. */
export function walkJson (
  root: unknown,
  kind: PlaceKind,
  place: string,
  onValue: OnValue,
  onName: OnName,
  leaveOut: (what: string) => void
): void {
  const stack: Step[] = [{ value: root, place, field: '', depth: 0 }]
  let count = 0
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    if (++count > VALUES_MAX * 4) return leaveOut(`${place}: JSON beyond ${VALUES_MAX * 4} values`)
    const { value, depth } = step
    if (typeof value === 'string') onValue(kind, step.place, value, step.field)
    else if (typeof value === 'object' && value !== null) {
      if (depth >= JSON_DEPTH_MAX) leaveOut(`${place}: JSON deeper than ${JSON_DEPTH_MAX}`)
      else pushChildren(stack, step, value, onName, leaveOut)
    }
  }
}

function pushChildren (
  stack: Step[],
  step: Step,
  value: object,
  onName: OnName,
  leaveOut: (what: string) => void
): void {
  const depth = step.depth + 1
  if (Array.isArray(value)) {
    if (value.length > VALUES_MAX) leaveOut(`${step.place}: items beyond the ${VALUES_MAX}th`)
    for (let at = Math.min(value.length, VALUES_MAX) - 1; at >= 0; at--) {
      stack.push({ value: value[at], place: step.place, field: step.field, depth })
    }
    return
  }
  for (const key of Object.keys(value)) {
    const inner = step.place.length < 48 ? `${step.place}.${key.slice(0, 32)}` : step.place
    if (key.length > 3 || key.charCodeAt(0) === 36) {
      onName(inner, key === 'prototype' && step.field === 'constructor' ? 'constructor.prototype' : key)
    }
    stack.push({ value: (value as Record<string, unknown>)[key], place: inner, field: key.toLowerCase(), depth })
  }
}
