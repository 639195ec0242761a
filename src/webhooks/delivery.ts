import { createHmac } from 'node:crypto'
import type { Agent, request } from 'undici'
import type { Clock } from '../std/clock.ts'
import { pause } from '../std/deadline.ts'
import { publicLookup, resolveName, type ResolveName } from '../std/outbound.ts'

/**
 * Sends one message to one URL, signed: `x-neko-signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`.
 * Redirects are not followed. A name that resolves to a private address is refused (API7) at the moment of connecting,
 * for the very address that is connected to. An operator who writes a private address into the URL, or `localhost`,
 * means it: a written address is never looked up.
 */
export interface Message { id: string, url: string, body: string }

const RETRIES_MAX = 3
const RETRY_BASE_MS = 500
const TIMEOUT_MS = 5_000
/** Sockets to one receiver. */
const CONNECTIONS = 4
/** An answer is read this far, so that its socket can be used again. */
const ANSWER_BYTES_MAX = 65_536
const PROBLEM_CHARS_MAX = 200

interface DeliveryParts {
  secret: string | null
  clock: Pick<Clock, 'now' | 'after'>
  retryBaseMs?: number
  /** Every address of a name; tests have their own. */
  resolve?: ResolveName
}

export class Delivery {
  readonly #parts: DeliveryParts
  readonly #ending = new AbortController()
  #client: { agent: Agent, request: typeof request } | null = null

  constructor (parts: DeliveryParts) {
    this.#parts = parts
  }

  /** Tries up to four times. Null when the message arrived, else the last problem, '' without a try. Never throws. */
  async send (message: Message): Promise<string | null> {
    const { clock, retryBaseMs = RETRY_BASE_MS } = this.#parts
    const { signal } = this.#ending
    let problem = ''
    for (let retry = 0; retry <= RETRIES_MAX && !signal.aborted; retry++) {
      // Full jitter: siblings that failed together must not come back together.
      if (retry > 0) await pause(clock, Math.random() * retryBaseMs * 2 ** retry, signal)
      const failure = await this.sendOnce(message)
      if (failure === null) return null
      problem = failure.problem
      if (failure.final) break
    }
    return problem
  }

  /** One try. Null when the message arrived; `final` when asking again would change nothing. Never throws. */
  async sendOnce ({ url, body }: Pick<Message, 'url' | 'body'>): Promise<{ problem: string, final: boolean } | null> {
    try {
      const status = await this.#post(url, body)
      if (status >= 200 && status <= 299) return null
      return { problem: `answered ${status}`, final: status < 500 && status !== 408 && status !== 429 }
    } catch (error) {
      return { problem: (error as Error).message.slice(0, PROBLEM_CHARS_MAX), final: false }
    }
  }

  /** Gives up the messages that are under way. */
  abort (): void {
    this.#ending.abort()
  }

  async close (): Promise<void> {
    await this.#client?.agent.destroy()
  }

  /** The status of the answer. */
  async #post (url: string, body: string): Promise<number> {
    const seconds = Math.floor(this.#parts.clock.now() / 1000)
    const signature = createHmac('sha256', this.#parts.secret ?? '').update(`${seconds}.${body}`).digest('hex')
    const { agent, request } = await this.#openClient()
    const response = await request(url, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'neko-defense-api',
        'x-neko-signature': `t=${seconds},v1=${signature}`
      },
      dispatcher: agent,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      signal: this.#ending.signal
    })
    await response.body.dump({ limit: ANSWER_BYTES_MAX })
    return response.statusCode
  }

  /** Late: 110 files that only those who send webhooks need. */
  async #openClient (): Promise<{ agent: Agent, request: typeof request }> {
    const { Agent, request } = await import('undici')
    this.#client ??= {
      agent: new Agent({
        connect: { timeout: TIMEOUT_MS, lookup: webhookLookup(this.#parts.resolve) },
        connections: CONNECTIONS
      }),
      request
    }
    return this.#client
  }
}

function webhookLookup (resolve: ResolveName = resolveName): ReturnType<typeof publicLookup> {
  return publicLookup({
    refused: () => new Error('the name resolves to a private address'),
    allows: (hostname) => hostname === 'localhost',
    async resolve (hostname) {
      const addresses = await resolve(hostname)
      if (addresses.length === 0) throw new Error('the name resolves to nothing')
      return addresses
    }
  })
}
