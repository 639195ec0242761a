/** Headers as they stand in the head of a message, each in a line with its end. Their values are ours, or checked. */
export function linesOf (headers: Readonly<Record<string, string | number>>, without = ''): string {
  const shown = Object.entries(headers).filter(([name]) => name !== without)
  return shown.map(([name, value]) => `${name}: ${value}\r\n`).join('')
}
