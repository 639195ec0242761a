import type { Clock, Timer } from '../std/clock.ts'

/**
 * Lines that come by the thousand (one for each request), gathered before they are written: a write of its own for each
 * was the dearest thing that a request did (10 us of main, 9 % of it).
 *
 * Owns: the lines that wait here, and how many were dropped. Never does: make a line, or hold up whoever writes one.
 * In: whole lines. Out: portions of them to the log's one destination, in their order with all other lines.
 *
 * Where processes share stdout, a portion is at most as large as a pipe takes in one piece, or their lines would be
 * mixed. When stdout is not read, these lines are the first to go; there is room behind
 * them for warnings and errors.
 */
export interface LineSink {
  /** One line without its end; dropped, and counted, when too much waits already. */
  write (line: string): void
  /** What waits is handed on. */
  flush (): void
  /** Lines dropped so far. */
  dropped (): number
}

interface LineSinkParts {
  clock: Pick<Clock, 'after'>
  /** Takes whole lines. */
  write (portion: string): void
  /** Bytes that were handed on and are not written yet. */
  pendingBytes (): number
  /** Of a portion, at most, but for a line that is longer by itself. */
  portionBytes: number
}

/** A line waits this long at most: a person who looks at the log sees no delay. */
const WAIT_MS = 20
/** Half of what the destination holds (logger.ts). */
const PENDING_BYTES_MAX = 8 * 1_048_576

export function createLineSink ({ clock, write, pendingBytes, portionBytes }: LineSinkParts): LineSink {
  let portion = ''
  let timer: Timer | null = null
  let dropped = 0

  function flush (): void {
    timer?.cancel()
    timer = null
    if (portion === '') return
    const lines = portion
    portion = ''
    write(lines)
  }

  return {
    write (line) {
      if (pendingBytes() > PENDING_BYTES_MAX) {
        dropped++
        return
      }
      // Characters: lines of ours are ASCII but for a path or an agent, of 300 characters together.
      if (portion.length + line.length >= portionBytes) flush()
      portion += line
      portion += '\n'
      timer ??= clock.after(WAIT_MS, flush)
    },
    flush,
    dropped: () => dropped
  }
}
