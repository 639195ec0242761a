import { request } from 'node:http'
import t from 'tap'
import { openApp } from '../../transaction/app.ts'
import { newAddress } from '../../transaction/doors.ts'
import type { TestApp } from '../../transaction/app.ts'

/** What a route of ours does not read is refused, and says so. */
interface Answer { status: number, code: string | undefined, action: string | undefined, id: string }

async function send (
  { port }: TestApp,
  { method = 'POST', path = '/graphql', headers = [], body }:
  { method?: string, path?: string, headers?: string[], body?: string | Buffer }
): Promise<Answer> {
  const all = ['Host', 'neko.example', 'X-Forwarded-For', newAddress(), 'User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Accept', '*/*', 'Accept-Language', 'en', ...headers]
  if (body !== undefined) all.push('Content-Length', String(Buffer.byteLength(body)))
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers: all }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => {
        const answer = JSON.parse(text === '' ? '{}' : text) as { error?: { code: string }, errors?: Array<{ extensions?: { code?: string } }> }
        resolve({
          status: response.statusCode as number,
          code: answer.error?.code ?? answer.errors?.[0]?.extensions?.code,
          action: response.headers['x-neko-action'] as string | undefined,
          id: response.headers['x-neko-assessment'] as string
        })
      })
    })
    sent.once('error', reject).end(body)
  })
}

const BENIGN = '{"query":"{ health { status } }"}'

t.test('routes of ours read UTF-8 alone', async (t) => {
  const at = await openApp(t, { EXPOSE_SCORE: 'true' })
  t.match(await send(at, { headers: ['Content-Type', "application/json; charset*=utf-16''"], body: BENIGN }), { action: 'BLOCK' }, 'in its long form, too')
  const others = ['utf-16', '"utf-16"', 'utf-16le', 'UTF-16BE', 'utf-7', 'utf-32', 'iso-8859-1', 'windows-1252', 'shift_jis', 'x-user-defined', 'ibm037']
  for (const charset of others) {
    for (const type of ['application/json', 'application/graphql', 'application/x-www-form-urlencoded', 'text/plain', 'application/graphql-response+json']) {
      for (const spelled of [`${type}; charset=${charset}`, `${type};v=1;Charset=${charset}`]) {
        const answer = await send(at, { headers: ['Content-Type', spelled], body: BENIGN })
        // Some are refused for their score: no client says them.
        if (answer.status !== 403) t.match(answer, { status: 415, code: 'NEKO_ERR_MEDIA_UNSUPPORTED' }, spelled)
        t.equal(answer.action, 'BLOCK', spelled)
      }
    }
  }
  const receipt = await at.app.receipts.get((await send(at, { headers: ['Content-Type', 'application/json; charset=utf-16'], body: BENIGN })).id)
  t.match(receipt, { status: 415, action: 'BLOCK', notInspected: ['body: charset utf-16, which no route of ours reads'] })
  t.match(await send(at, { headers: ['Content-Type', 'application/json', 'content-type', 'application/json; charset=utf-16'], body: BENIGN }), { status: 415 }, 'in a second header, too')
  for (const charset of ['utf-8', 'UTF-8', '"utf-8"', 'utf8', 'us-ascii', 'ascii']) {
    t.match(await send(at, { headers: ['Content-Type', `application/json; charset=${charset}`], body: BENIGN }), { status: 200, action: 'ALLOW' }, charset)
  }
  t.match(await send(at, { path: '/nowhere', headers: ['Content-Type', 'text/plain; charset=iso-8859-1'], body: 'a=1' }), { status: 404 }, 'elsewhere it is nobody\'s business')
})

t.test('a body that is refused unread is a refusal in its headers and its receipt, and no offence', async (t) => {
  const at = await openApp(t, { EXPOSE_SCORE: 'true' })
  const cases: Array<[string, Parameters<typeof send>[1], number]> = [
    ['packed', { headers: ['Content-Type', 'application/json', 'Content-Encoding', 'gzip'], body: BENIGN }, 415],
    ['packed, for no route of ours', { path: '/nowhere', headers: ['Content-Type', 'application/json', 'Content-Encoding', 'br'], body: BENIGN }, 415],
    ['of a type that no parser takes', { headers: ['Content-Type', 'application/x-thing'], body: BENIGN }, 415],
    ['too large', { headers: ['Content-Type', 'application/json'], body: JSON.stringify({ query: '{ health { status } }', pad: 'a '.repeat(40_000) }) }, 413]
  ]
  for (const [what, asked, status] of cases) {
    const answer = await send(at, asked)
    t.match(answer, { status, action: 'BLOCK' }, what)
    const receipt = await at.app.receipts.get(answer.id)
    t.match(receipt, { status, action: 'BLOCK', simulated: false }, what)
    t.equal(at.app.clients.refusals(receipt!.client), 0, `${what}: history holds it against nobody`)
  }
})

t.test('what lies beyond the bounds of inspection is refused on our own routes, attack or not', async (t) => {
  const at = await openApp(t, { EXPOSE_SCORE: 'true' })
  const attack = "' UNION SELECT login, hash FROM members-- "
  const strings = (last: string): string => JSON.stringify({ query: '{ health { status } }', variables: { list: [...Array.from({ length: 4_200 }, (_, i) => `v; ${i}`), last] } })
  for (const last of ['end', attack]) {
    const answer = await send(at, { headers: ['Content-Type', 'application/json'], body: strings(last) })
    t.ok(last === 'end' ? answer.status === 413 : [403, 413].includes(answer.status), `${answer.status} for values that end with ${last}`)
    t.equal(answer.action, 'BLOCK')
    const many = Array.from({ length: 600 }, (_, i) => `c${i}=${i}`).concat(`z=${encodeURIComponent(last)}`)
    const cookies = await send(at, { method: 'GET', path: '/graphql?query=%7Bhealth%7Bstatus%7D%7D', headers: ['Cookie', many.join('; ')] })
    t.ok(last === 'end' ? cookies.status === 400 : [400, 403].includes(cookies.status), `${cookies.status} for cookies that end with ${last}`)
    t.equal(cookies.action, 'BLOCK')
  }
})
