import { cidrText, createAddressSet, parseCidr, type AddressSet } from '../std/ip.ts'
import type { Decision } from './shapes.ts'

/**
 * The clients that NEVER_BLOCK spares: no block is made about its addresses or ranges, no playbook blocks a
 * client whose request came from one, and a block that covers more than them holds for all others. An
 * administrator who tries things out on the machine itself must not lock himself out, whatever his name.
 */
export class NeverBlock {
  readonly #addresses: AddressSet

  /** @param ranges addresses and CIDRs, as NEVER_BLOCK lists them */
  constructor (ranges: readonly string[]) {
    this.#addresses = createAddressSet(ranges)
  }

  /** Canonical; null, for a request that came from nowhere, is not spared. */
  coversAddress (address: string | null | undefined): boolean {
    return address !== null && address !== undefined && this.#addresses.has(address)
  }

  /** Whether it holds all addresses that the decision is about, as far as the two ends of a range tell. */
  covers ({ scope, value }: Pick<Decision, 'scope' | 'value'>): boolean {
    if (scope === 'IP') return this.#addresses.has(value)
    const cidr = scope === 'RANGE' ? parseCidr(value) : null
    return cidr !== null && this.#addresses.has(addressText(cidr.first, cidr.family)) &&
      this.#addresses.has(addressText(cidr.last, cidr.family))
  }
}

function addressText (address: bigint, family: 4 | 6): string {
  return cidrText({ first: address, last: address, family, bits: 0 }).slice(0, -2)
}
