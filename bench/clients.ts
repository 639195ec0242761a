/**
 * Distinct clients: what they cost in memory and whether the last are as fast as the first. History and
 * limiter of one process, as the gate uses them. A Map of a million clients costs 189 MB.
 *
 *   node bench/clients.ts [clients, default 1,000,000]
 */
import { machine } from './machine.ts'
import { meetClients } from '../test/clients/many-clients.ts'

const clients = Number(process.argv[2] ?? 1_000_000)
const { grownMb, firstUs, lastUs } = meetClients(clients)
console.log(machine())
console.log(`${clients} clients: process +${grownMb.toFixed(1)} MB (bar 64), each ${firstUs.toFixed(2)} us at first, ${lastUs.toFixed(2)} us at last (least of three portions of 20,000)`)
