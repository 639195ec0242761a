import { emptyHistory } from '../../src/detect/history-shapes.ts'
import type { Observation } from '../../src/detect/shapes.ts'

let count = 0

/** An ordinary request; override what the test is about. */
export function observation (override: Partial<Observation> = {}): Observation {
  count++
  return {
    id: `as_000000000000_${count}`,
    at: 1_800_000_000_000 + count,
    client: 'ip:192.0.2.7',
    method: 'GET',
    url: '/catalog?page=2',
    headers: ['Host', 'shop.example', 'User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', 'Accept', '*/*'],
    body: null,
    route: '/catalog',
    history: { ...emptyHistory(), requests60s: 3, limitUsed: 0.03 },
    ...override
  }
}
