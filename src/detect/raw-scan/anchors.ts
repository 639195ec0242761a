/**
 * Aho and Corasick, "Efficient string matching" (1975): one table step per byte finds every occurrence of many words at
 * once, whatever the text. Words are ASCII in lower case; a blank in a word stands for a line break too.
 */
interface Anchors {
  /** State and class of the next byte to the next state; HIT marks a state where words end. */
  next: Uint16Array
  /** Byte to class; 0 for bytes that stand in no word. */
  classes: Uint8Array
  /** Numbers of the words that end in a state, longest first. */
  ending: number[][]
}

/** Marks states of `next` in which a word ends. */
export const HIT = 0x8000
/** Classes of bytes: the row of a state is this long, so that a state's row is found by a shift. */
export const CLASS_BITS = 7

export function createAnchors (words: string[]): Anchors {
  const classes = new Uint8Array(256)
  let classCount = 1
  for (const letter of new Set(words.join(''))) classes[letter.charCodeAt(0)] = classCount++
  for (const lineBreak of [10, 11]) classes[lineBreak] = classes[32] as number
  if (classCount > 1 << CLASS_BITS) throw new RangeError(`anchors use ${classCount} classes of bytes`)
  const width = 1 << CLASS_BITS
  const rows: Int32Array[] = [new Int32Array(width).fill(-1)]
  const ending: number[][] = [[]]
  words.forEach((word, number) => {
    let state = 0
    for (let at = 0; at < word.length; at++) {
      const row = rows[state] as Int32Array
      const letter = classes[word.charCodeAt(at)] as number
      if (row[letter] === -1) {
        row[letter] = rows.length
        rows.push(new Int32Array(width).fill(-1))
        ending.push([])
      }
      state = row[letter] as number
    }
    (ending[state] as number[]).push(number)
  })
  if (rows.length >= HIT) throw new RangeError(`anchors need ${rows.length} states`)
  link(rows, ending)
  const next = new Uint16Array(rows.length * width)
  rows.forEach((row, state) => row.forEach((to, letter) => {
    next[state * width + letter] = to | ((ending[to] as number[]).length > 0 ? HIT : 0)
  }))
  return { next, classes, ending }
}

/** Breadth first: a missing step is the step of the longest suffix that is a state too. */
function link (rows: Int32Array[], ending: number[][]): void {
  const suffix = new Int32Array(rows.length)
  const queue = [0]
  for (let head = 0; head < queue.length; head++) {
    const state = queue[head] as number
    const row = rows[state] as Int32Array
    const fallback = rows[suffix[state] as number] as Int32Array
    for (let letter = 0; letter < row.length; letter++) {
      const to = row[letter] as number
      if (to === -1) {
        row[letter] = state === 0 ? 0 : fallback[letter] as number
        continue
      }
      suffix[to] = state === 0 ? 0 : fallback[letter] as number
      ending[to] = [...ending[to] as number[], ...ending[suffix[to] as number] as number[]]
      queue.push(to)
    }
  }
}
