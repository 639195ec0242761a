/**
 * Long regular expressions out of parts that fit on a line. Sources are joined as they are written, so that the whole
 * is the expression it would be as a single literal, and captures count through. Each part must be complete in itself;
 * flags of parts do not count. To be called once, where a module is loaded.
 */

/** A part, or a list of alternatives, which stands for `(?:a|b)`. */
type Part = RegExp | readonly RegExp[]

/** `a|b`. */
export function anyOf (alternatives: readonly RegExp[], flags = ''): RegExp {
  return new RegExp(joined(alternatives), flags)
}

/** One part after the other. */
export function sequence (parts: readonly Part[], flags = ''): RegExp {
  const sources = parts.map((part) => part instanceof RegExp ? part.source : `(?:${joined(part)})`)
  return new RegExp(sources.join(''), flags)
}

/** `(a|b)`. */
export function captured (alternatives: readonly RegExp[]): RegExp {
  return new RegExp(`(${joined(alternatives)})`)
}

/** `(?:a|b)` and how often it may come: `?`, `{0,3}`. */
export function repeated (alternatives: readonly RegExp[], times: string): RegExp {
  return new RegExp(`(?:${joined(alternatives)})${times}`)
}

function joined (alternatives: readonly RegExp[]): string {
  return alternatives.map(({ source }) => source).join('|')
}
