import { words } from '../../src/std/words.ts'

/**
 * Bodies as applications send them, made from a seed: JSON of orders, articles, settings, Markdown and
 * measurements, each as the variables of a GraphQL query. Nothing in them looks like an attack.
 */
const NOUNS = words(`
  river garden kitchen window letter market bridge forest teacher lamp engine ticket season harbour village picture
  cupboard morning winter machine student company report meeting
`)
const ADJECTIVES = words(`
  small bright quiet heavy early yellow careful modern wooden narrow friendly local empty useful gentle
`)
const VERBS = words('carries follows paints repairs visits describes measures supports welcomes collects')
const ENDS = ['every morning', 'before the winter', 'near the harbour', 'with great care', 'since last summer']
const SETTINGS = words(`
  mail.footer.enabled shop.currency.rounding theme.colour.primary search.page.size invoice.number.format
`)
const NAMES = ['Ada Byron', 'José Álvarez', "Niamh O'Brien", 'Zoë Müller', 'Søren Dahl', 'Li Wei', 'Amélie D.']
const CITIES = ['Lisbon', 'Zürich', 'Kraków', 'São Paulo', 'Leeds', 'Oslo', 'Nagoya', 'Dublin', 'Tallinn', 'Lyon']
/** In turn, as pages ask them: one question in many versions is what programs ask that look for something. */
const QUERIES = [
  'query Counts { threatCounts { category count } }',
  'query State { health { status } }',
  'query Names { threatActors(first: 2) { nodes { name } } }',
  'query Limit { rateLimit { __typename } }',
  'query Types { threatCounts { category } }',
  'query Whole { health { status } threatCounts { count } }',
  'query Actors { threatActors(first: 3) { totalCount } }'
]
const SETTING_VALUES = [true, false, 25, 0.5, 'auto', 'off', '30s', 'Europe/Zurich']

export interface Dice { number (max: number): number, of<T> (list: readonly T[]): T }

/** Numbers from a seed (mulberry32), the same on every machine. */
export function createDice (seed: number): Dice {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const number = (max: number): number => Math.floor(next() * max)
  return { number, of: (list) => list[number(list.length)]! }
}

/** `count` bodies of `minBytes` to `maxBytes`, of all kinds and sizes in turn. */
export function ordinaryBodies (
  count: number,
  options: { seed: number, minBytes: number, maxBytes: number }
): Buffer[] {
  const dice = createDice(options.seed)
  const kinds = [orders, articles, settings, markdown, rows]
  return Array.from({ length: count }, (_, i) => {
    const bytes = options.minBytes + dice.number(options.maxBytes - options.minBytes)
    const kind = kinds[i % kinds.length]!
    // Markdown costs twice what other text does: none of these bodies takes more than some 5 ms.
    const query = QUERIES[i % QUERIES.length]!
    return bodyOf(kind, dice, { query, bytes: kind === markdown ? bytes / 2 : bytes })
  })
}

function bodyOf (
  kind: (dice: Dice) => object,
  dice: Dice,
  { query, bytes }: { query: string, bytes: number }
): Buffer {
  const items: object[] = []
  let length = query.length + 60
  for (;;) {
    const item = kind(dice)
    length += Buffer.byteLength(JSON.stringify(item)) + 1
    if (length > bytes && items.length > 0) break
    items.push(item)
  }
  return Buffer.from(JSON.stringify({ query, variables: { page: dice.number(100), items } }))
}

function sentence (dice: Dice): string {
  const thing = (): string => `${dice.of(ADJECTIVES)} ${dice.of(NOUNS)}`
  return `The ${thing()} ${dice.of(VERBS)} the ${thing()} ${dice.of(ENDS)}.`
}

function text (dice: Dice, sentencesMax: number): string {
  return Array.from({ length: 1 + dice.number(sentencesMax) }, () => sentence(dice)).join(' ')
}

function day (dice: Dice): string {
  return new Date(Date.UTC(2024, dice.number(24), 1 + dice.number(27), dice.number(24), dice.number(60))).toISOString()
}

function orders (dice: Dice): object {
  const line = (): object => ({
    sku: `SKU-${dice.number(99_999)}`,
    title: `${dice.of(ADJECTIVES)} ${dice.of(NOUNS)}`,
    quantity: 1 + dice.number(9),
    price: dice.number(100_000) / 100
  })
  return {
    id: 100_000 + dice.number(900_000),
    placedAt: day(dice),
    customer: { name: dice.of(NAMES), email: `customer${dice.number(10_000)}@shop.example`, phone: '+44 20 7946 0123' },
    address: {
      street: `${1 + dice.number(200)} ${dice.of(NOUNS)} road`,
      city: dice.of(CITIES),
      postcode: String(10_000 + dice.number(80_000))
    },
    lines: Array.from({ length: 1 + dice.number(4) }, line),
    note: dice.number(3) === 0 ? sentence(dice) : null,
    paid: dice.number(2) === 0
  }
}

function articles (dice: Dice): object {
  return {
    title: sentence(dice),
    slug: `${dice.of(ADJECTIVES)}-${dice.of(NOUNS)}-${dice.number(1000)}`,
    author: dice.of(NAMES),
    tags: Array.from({ length: 3 }, () => dice.of(NOUNS)),
    body: Array.from({ length: 1 + dice.number(4) }, () => text(dice, 5)).join('\n\n')
  }
}

function settings (dice: Dice): object {
  return {
    name: dice.of(SETTINGS),
    value: dice.of(SETTING_VALUES),
    updatedAt: day(dice),
    by: dice.of(NAMES),
    help: sentence(dice)
  }
}

function markdown (dice: Dice): object {
  const noun = dice.of(NOUNS)
  const lines = [
    `# ${sentence(dice)}`,
    text(dice, 12),
    `- ${sentence(dice)}\n- **${noun}**: ${sentence(dice)}\n- [${noun}](https://docs.example/${dice.number(99)})`,
    `> ${sentence(dice)}`,
    `1. ${sentence(dice)}\n2. ${sentence(dice)}`
  ]
  return { path: `docs/${noun}/${dice.of(NOUNS)}.md`, content: lines.join('\n\n') }
}

function rows (dice: Dice): object {
  return {
    at: day(dice),
    sensor: `s-${dice.number(500)}`,
    values: Array.from({ length: 8 }, () => dice.number(100_000) / 1000),
    ok: dice.number(20) > 0,
    unit: dice.of(['°C', 'hPa', 'm/s', '%'])
  }
}
