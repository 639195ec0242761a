/** The words of a text, which may run over several lines: how lists of names are written in code. */
export function words (text: string): string[] {
  return text.trim().split(/\s+/)
}

/** The same as a set. */
export function wordSet (text: string): ReadonlySet<string> {
  return new Set(words(text))
}
