import fp from 'fastify-plugin'
import type { FastifyReply } from 'fastify'

/**
 * Decoys: routes that only scanners ask for. Each answers plausibly and cheaply, so that a scanner goes on touching them,
 * and slowly while few do: a held socket costs the scanner a worker and us a timer.
 *
 * Nothing in a bait is real, and none of it looks like a credential of anybody's: names and keys are plainly made up.
 */
interface Bait { type: string, body: string }

/** Sockets held at the same time; who comes beyond it is answered at once. */
const HELD_MAX = 50
const HELD_MS = 2_000

const SECRETS: Bait = { type: 'text/plain; charset=utf-8', body: 'APP_ENV=production\nAPP_DEBUG=false\nDB_HOST=db.internal\nDB_DATABASE=app\nDB_USERNAME=app\nDB_PASSWORD=\nMAIL_HOST=mail.internal\n' }
const GIT_CONFIG: Bait = { type: 'text/plain; charset=utf-8', body: '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n' }
const GIT_HEAD: Bait = { type: 'text/plain; charset=utf-8', body: 'ref: refs/heads/main\n' }
const LOGIN: Bait = { type: 'text/html; charset=utf-8', body: '<!doctype html><html><head><title>Log in</title></head><body><form method="post"><p><input name="log"><input name="pwd" type="password"><input type="submit" value="Log in"></p></form></body></html>' }
const ARCHIVE: Bait = { type: 'application/octet-stream', body: '\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03' }
const DUMP: Bait = { type: 'application/sql', body: '-- dump\n-- Host: localhost    Database: app\nSET NAMES utf8mb4;\n' }
const STATUS: Bait = { type: 'text/plain; charset=utf-8', body: 'Total accesses: 48213\nUptime: 861233\nBusyWorkers: 3\nIdleWorkers: 72\n' }

const BAIT_BY_ENDING: ReadonlyArray<readonly [RegExp, Bait]> = [
  [/\.git\/config$/, GIT_CONFIG],
  [/\.git\/head$/i, GIT_HEAD],
  [/\.(zip|gz|tgz|rar|7z|bak|old)$/, ARCHIVE],
  [/\.sql$/, DUMP],
  [/(login|admin|phpmyadmin|console|manager)/, LOGIN],
  [/(status|actuator|info)/, STATUS]
]

export default fp(async (app) => {
  let held = 0

  async function answer (url: string, reply: FastifyReply): Promise<FastifyReply> {
    const bait = baitOf(url)
    if (held < HELD_MAX && !app.draining.aborted) {
      held++
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, HELD_MS)
        reply.raw.once('close', () => { clearTimeout(timer); resolve() })
      })
      held--
    }
    return await reply.type(bait.type).send(bait.body)
  }

  for (const url of app.config.decoyPaths) {
    app.route({ method: ['GET', 'POST'], url, config: { decoy: true }, handler: async (_request, reply) => await answer(url, reply) })
  }
}, { name: 'decoys', dependencies: ['config'] })

function baitOf (url: string): Bait {
  return BAIT_BY_ENDING.find(([ending]) => ending.test(url))?.[1] ?? SECRETS
}
