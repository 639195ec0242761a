import type { RatesInForce } from './shapes.ts'

/**
 * The rule that lengthens a block: the third crossing of a limit within ten minutes is answered by a block of
 * five (playbook RATE_LIMIT_VIOLATION, whose file may say another length). The playbook acts after the reply
 * has left, and once per its window: the limiter blocks at the crossing itself, or a client that waits as
 * told would be refused once more.
 */
export const VIOLATIONS_MAX = 3
export const LENGTHENED_BLOCK_SECONDS = 300

/** The length of the block that a client's violation brings beyond that of its tier, ms; 0 for none. In shadow none. */
export function lengthenedBlockMs (
  violations: number,
  { shadow, lengthenedSeconds }: Pick<RatesInForce, 'shadow' | 'lengthenedSeconds'>
): number {
  return shadow || violations < VIOLATIONS_MAX ? 0 : lengthenedSeconds * 1000
}
