import { subnetOf } from '../std/ip.ts'
import type { Decision } from './shapes.ts'

type Subject = Pick<Decision, 'scope' | 'value' | 'action' | 'originKind'>

const NONE: readonly Decision[] = []

/**
 * What playbooks decided against addresses of one IPv6 /64, and against the /64 itself. A host may take any address of
 * its /64, but so may its neighbours: the first attack is answered at its own address, the next from another one at the
 * whole, and whoever is let back in is let in from all of it. No larger than the decisions that stand.
 */
export class Subnets {
  readonly #decisions = new Map<string, Decision[]>()

  add (decision: Decision): void {
    const subnet = subnetIn(decision)
    if (subnet === null) return
    const list = this.#decisions.get(subnet)
    if (list === undefined) this.#decisions.set(subnet, [decision])
    else list.push(decision)
  }

  delete (decision: Decision): void {
    const subnet = subnetIn(decision)
    if (subnet === null) return
    const rest = (this.#decisions.get(subnet) ?? []).filter(({ id }) => id !== decision.id)
    if (rest.length === 0) this.#decisions.delete(subnet)
    else this.#decisions.set(subnet, rest)
  }

  /** All of the subnet of an address or decision; none for IPv4, and none for what no playbook decided. */
  around (decision: Subject): readonly Decision[] {
    const subnet = subnetIn(decision)
    return subnet === null ? NONE : this.#decisions.get(subnet) ?? NONE
  }
}

function subnetIn ({ scope, value, action, originKind }: Subject): string | null {
  if (originKind !== 'playbook' || action === 'ALLOW' || !value.includes(':')) return null
  if (scope === 'IP') return subnetOf(value)
  return scope === 'RANGE' && value.endsWith('/64') ? value : null
}
