import { pino } from 'pino'
import t from 'tap'
import { requestLog } from '../../../src/transports/http/request-log.ts'
import type { FastifyBaseLogger } from 'fastify'

t.test('a request\'s log says whose it is, and is made when it is used', async (t) => {
  const lines: Array<Record<string, unknown>> = []
  const parent = pino({ level: 'trace' }, { write: (line: string) => { lines.push(JSON.parse(line) as Record<string, unknown>) } })
  let made = 0
  const counted = { level: parent.level, child: (...given: Parameters<typeof parent.child>) => { made++; return parent.child(...given) } }
  const log = requestLog(counted as unknown as FastifyBaseLogger, { reqId: 'r1' }, {})
  t.equal(log.level, 'trace')
  log.silent('nothing')
  t.equal(made, 0)
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const) log[level]({ fact: level }, 'said')
  log.child({ more: 1 }).info('and more')
  t.equal(made, 1)
  t.same(lines.map(({ level, reqId, fact, more, msg }) => [level, reqId, fact, more, msg]), [
    ...[60, 50, 40, 30, 20, 10].map((level, i) => [level, 'r1', ['fatal', 'error', 'warn', 'info', 'debug', 'trace'][i], undefined, 'said']), [30, 'r1', undefined, 1, 'and more']
  ])
})
