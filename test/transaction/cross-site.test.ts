import t from 'tap'
import { countedAs, isCrossSite } from '../../src/transaction/cross-site.ts'
import { threadMs } from '../bar.ts'
import { browserRequests, handshakes, image, others, plainRequests, reportPreflight } from './browsers.ts'

const LEAVE = 'https://partner.example'
const options = { corsOrigins: [LEAVE], mayBePlain: true }

t.test('whatever a browser sends for a page of another site is known as that', async (t) => {
  const sent = browserRequests()
  t.ok(sent.length > 400)
  t.strictSame(sent.filter((one) => !isCrossSite(one, options)).map(({ what }) => what), [])
  t.strictSame(sent.filter((one) => !isCrossSite(one, { ...options, mayBePlain: false })).map(({ what }) => what), [])
})

t.test('over plain HTTP a foreign Origin or Referer says so', async (t) => {
  const sent = plainRequests()
  t.strictSame(sent.filter((one) => !isCrossSite(one, options)).map(({ what }) => what), [])
  t.strictSame(sent.filter((one) => isCrossSite(one, { ...options, mayBePlain: false })).map(({ method }) => method), ['OPTIONS'], 'over TLS the preflights of reports alone')
  for (const mayBePlain of [true, false]) t.equal(isCrossSite(reportPreflight(), { ...options, mayBePlain }), true)
})

t.test('a handshake of a WebSocket with a foreign Origin is of another site', async (t) => {
  t.strictSame(handshakes().filter((one) => !isCrossSite(one, options)).map(({ what }) => what), [])
})

t.test('what no page of another site could have sent is judged as if it claimed nothing', async (t) => {
  t.strictSame(others(LEAVE).filter((one) => isCrossSite(one, options)).map(({ what }) => what), [])
})

t.test('nothing that a header may hold makes it throw, and no length makes it slow', async (t) => {
  const values = ['', ' ', '?', '%', 'http://', '://', 'http://[', '\u0000', 'a'.repeat(15_000), 'http://a@b:c/', ';proto='.repeat(2000), '"'.repeat(15_000)]
  const names = ['origin', 'referer', 'host', 'forwarded', 'content-type', 'x-requested-with', 'upgrade', 'sec-fetch-mode', 'a'.repeat(15_000)]
  const startMs = threadMs()
  for (const name of names) {
    for (const value of values) {
      for (const method of ['GET', 'POST', 'OPTIONS', '']) {
        isCrossSite({ method, headers: image(0, { [name]: value }) }, options)
        isCrossSite({ method, headers: ['Referer', 'http://a/', name, value] }, options)
      }
    }
  }
  isCrossSite({ method: 'GET', headers: ['origin'] }, options)
  t.ok(threadMs() - startMs < 2000)
})

t.test('requests of other sites are counted apart from their client\'s own', async (t) => {
  t.equal(countedAs({ client: 'ip:192.0.2.1', crossSite: false }), 'ip:192.0.2.1')
  t.equal(countedAs({ client: 'ip:192.0.2.1', crossSite: true }), 'cross-site ip:192.0.2.1')
})
