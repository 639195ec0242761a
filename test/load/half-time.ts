/**
 * A process of its own that halts another one for 50 ms of every 100, as the kernel does with a container that has used
 * its quota: all its threads stand still, and its clocks go on. Ends, and lets the other one run, when its stdin ends.
 */
const PERIOD_MS = 50

const pid = Number(process.argv[2])
const word = new Int32Array(new SharedArrayBuffer(4))
let isOver = false
process.stdin.on('end', () => { isOver = true }).resume()

while (!isOver) {
  try {
    process.kill(pid, 'SIGSTOP')
    Atomics.wait(word, 0, 0, PERIOD_MS)
    process.kill(pid, 'SIGCONT')
    Atomics.wait(word, 0, 0, PERIOD_MS)
  } catch {
    // The other one is gone.
    break
  }
  await new Promise((resolve) => setImmediate(resolve))
}
