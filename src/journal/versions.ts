import { endsThrough } from './collections.ts'
import type { EffectVersion, Pending } from './shapes.ts'

/** Versions of one document (shapes.ts), pure: which of them stand, whatever the order they are met in. */

/** What changes of one document leave, none of them withdrawn: its removal first. Nothing where all is settled. */
export function leftBy (changes: readonly Pending[]): Pending[] {
  if (changes.every(({ isSettled }) => isSettled)) return []
  const removal = mostOf(changes.filter(({ effect }) => endsThrough(effect) !== null), (one, other) =>
    one.effect.version!.madeAt > other.effect.version!.madeAt)
  const removedAt = removal?.effect.version!.madeAt ?? -Infinity
  const deletes = changes.filter(({ effect }) => effect.op === 'delete')
  const ended = new Set(deletes.map(({ effect }) => effect.version!.endsAt))
  const standing = changes.filter(({ effect: { op, version } }) =>
    op === 'put' && version!.madeAt > removedAt && !ended.has(version!.endsAt))
  const put = mostOf(standing, (one, other) => lastsLonger(one.effect.version!, other.effect.version!))
  const left = [removal, put].filter((one) => one !== undefined)
  return left.length > 0 ? left : deletes.slice(-1)
}

/** Of two versions that stand, whether the first one counts. */
export function lastsLonger (one: EffectVersion, other: EffectVersion): boolean {
  const [a, b] = [one.endsAt ?? Infinity, other.endsAt ?? Infinity]
  return a === b ? one.madeAt > other.madeAt : a > b
}

function mostOf<T> (some: readonly T[], isMore: (one: T, other: T) => boolean): T | undefined {
  return some.reduce<T | undefined>((most, one) => most === undefined || isMore(one, most) ? one : most, undefined)
}
