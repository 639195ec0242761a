import { wordSet } from '../../std/words.ts'

/** Headers that gateways add: an address says nothing about the request; any other value in them is inspected. */
const NAMES = wordSet(`
  x-forwarded-for x-real-ip x-client-ip true-client-ip cf-connecting-ip x-cluster-client-ip
`)
const ADDRESS_LIST = /^[\da-f.:,\s[\]]*$/i

/** True for a header that says nothing but addresses. */
export function isAddressOnly (name: string, value: string): boolean {
  return NAMES.has(name.toLowerCase()) && ADDRESS_LIST.test(value)
}
