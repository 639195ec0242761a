/**
 * How often a long row does what it does: as often as shows the fault in the ordinary run, and as often as its bar says
 * in the nightly one, which runs every file that asks here with NEKO_TEST_SCALE=nightly.
 */
export function scaled (count: number, nightly: number): number {
  return process.env.NEKO_TEST_SCALE === 'nightly' ? nightly : count
}
