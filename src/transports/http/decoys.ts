import fp from 'fastify-plugin'
import type { FastifyReply } from 'fastify'

/**
 * Decoys: routes that only scanners ask for. Each answers plausibly and cheaply, so that a scanner goes on
 * touching them, and slowly while few do: a held socket costs the scanner a worker and us a timer. Playbooks
 * act before that: the standing block starts with the next request, not with the end of the bait.
 *
 * Nothing in a bait is real, and none of it looks like a credential of anybody's: names and keys are plainly made up.
 */
interface Bait { type: string, body: string | Buffer }

/** Sockets held at the same time; clients beyond it are answered at once. */
const HELD_MAX = 50
const HELD_MS = 2_000

const text = (body: string): Bait => ({ type: 'text/plain; charset=utf-8', body })
const lines = (...all: string[]): Bait => text(all.map((line) => `${line}\n`).join(''))
const SECRETS = lines(
  'APP_ENV=production',
  'APP_DEBUG=false',
  'DB_HOST=db.internal',
  'DB_DATABASE=app',
  'DB_USERNAME=app',
  'DB_PASSWORD=',
  'MAIL_HOST=mail.internal'
)
const LOGIN: Bait = {
  type: 'text/html; charset=utf-8',
  body: '<!doctype html><html><head><title>Log in</title></head><body><form method="post"><p><input name="log">' +
    '<input name="pwd" type="password"><input type="submit" value="Log in"></p></form></body></html>'
}

/** The first that fits, by how the path ends or what it speaks of. */
const BAITS: ReadonlyArray<readonly [RegExp, Bait]> = [
  [
    /\.git\/config$/,
    lines(
      '[core]',
      '\trepositoryformatversion = 0',
      '\tfilemode = true',
      '\tbare = false',
      '[branch "main"]',
      '\tremote = origin',
      '\tmerge = refs/heads/main'
    )
  ],
  [/\.git\/head$/i, text('ref: refs/heads/main\n')],
  [/\.svn\/entries$/, text('12\n')],
  [/\.aws\//, text('[default]\nregion = eu-west-1\noutput = json\nrole_arn = arn:aws:iam::000000000000:role/backup\n')],
  [/\.ssh\/|id_rsa/, text('Load key: incorrect passphrase supplied to decrypt private key\n')],
  [
    /\.php\.\w+$/,
    lines(
      '<?php',
      'define( "DB_NAME", "app" );',
      'define( "DB_USER", "app" );',
      'define( "DB_PASSWORD", "" );',
      'define( "DB_HOST", "db.internal" );'
    )
  ],
  [/\.zip$/, { type: 'application/zip', body: Buffer.from('504b0506000000000000000000000000000000000000', 'hex') }],
  [/\.(gz|tgz|rar|7z|bak|old)$/, {
    type: 'application/gzip',
    body: Buffer.from('1f8b08000000000000030300000000000000000000', 'hex')
  }],
  [/\.sql$/, { type: 'application/sql', body: '-- dump\n-- Host: localhost    Database: app\nSET NAMES utf8mb4;\n' }],
  [/actuator/, {
    type: 'application/json; charset=utf-8',
    body: '{"activeProfiles":["production"],"propertySources":[]}'
  }],
  [/keys$/, { type: 'application/json; charset=utf-8', body: '{"keys":[]}' }],
  [/status|info/, text('Total accesses: 48213\nUptime: 861233\nBusyWorkers: 3\nIdleWorkers: 72\n')],
  [/login|admin|console|manager/, LOGIN]
]

export default fp(async (app) => {
  let held = 0

  async function answer (bait: Bait, reply: FastifyReply): Promise<FastifyReply> {
    if (held < HELD_MAX && !app.draining.aborted) {
      held++
      await hold(reply)
      held--
    }
    return await reply.type(bait.type).send(bait.body)
  }

  /** Until the time is up, the client has gone or the server drains. */
  async function hold (reply: FastifyReply): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, HELD_MS)
    const done = (): void => resolve()
    reply.raw.once('close', done)
    app.draining.addEventListener('abort', done, { once: true })
    await promise
    clearTimeout(timer)
    app.draining.removeEventListener('abort', done)
  }

  await app.register(async (bare) => {
    // A form that a scanner posts to a login page is answered like one: whatever it is, nobody parses it.
    bare.removeAllContentTypeParsers()
    bare.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume()
      done(null)
    })
    for (const [url, path] of [...app.decoys.urls]) {
      const bait = BAITS.find(([fits]) => fits.test(path))?.[1] ?? SECRETS
      if (bare.hasRoute({ method: 'GET', url })) app.decoys.yieldTo(url)
      else {
        bare.route({
          method: ['GET', 'POST'],
          url,
          config: { decoy: true },
          handler: async (_request, reply) => await answer(bait, reply)
        })
      }
    }
  })
}, { name: 'decoys', dependencies: ['walk'] })
