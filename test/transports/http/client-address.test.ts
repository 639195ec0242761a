import t from 'tap'
import { createAddressSet, forwardedAddress } from '../../../src/std/ip.ts'
import { clientAddress } from '../../../src/transports/http/client-address.ts'
import { createDice } from '../../../bench/session-scripts.ts'
import { threadMs } from '../../bar.ts'

const trusted = createAddressSet(['10.0.0.0/8', 'fd00::/8'])
const PROXY = '10.0.0.1'
const by = (headers: Parameters<typeof clientAddress>[1], peer = PROXY): string => clientAddress(peer, headers, trusted).address

t.test('Forwarded of a trusted proxy is understood as RFC 7239 writes it, and as proxies do', (t) => {
  const cases: Array<[string | string[], string]> = [
    ['for=192.0.2.1', '192.0.2.1'],
    ['For="192.0.2.1:4711"', '192.0.2.1'],
    ['for="[2001:db8::1]:99"', '2001:db8:0:0:0:0:0:1'],
    ['for="[2001:db8::1]"', '2001:db8:0:0:0:0:0:1'],
    ['for=[2001:db8::1]:99', '2001:db8:0:0:0:0:0:1'],
    ['for="192.0.2.1:_port"', '192.0.2.1'],
    ['for=192.0.2.1;proto=https;by=10.0.0.1;host=a.example', '192.0.2.1'],
    ['proto=https ; for=192.0.2.1 ;host="a;for=6.6.6.6,for=6.6.6.7"', '192.0.2.1'],
    ['host="\\";for=6.6.6.6;";for=192.0.2.1', '192.0.2.1'],
    ['for=6.6.6.6, for=192.0.2.1, for=10.0.0.7', '192.0.2.1'],
    [['for=6.6.6.6', 'for=192.0.2.1'], '192.0.2.1'],
    ['for=192.0.2.1,,', PROXY],
    ['for="\\1\\92.0.2.1"', '192.0.2.1'],
    ['for=unknown', PROXY],
    ['for=_hidden, for=_SEVKISEK', PROXY],
    ['for=192.0.2.1, for=unknown', PROXY],
    ['for=192.0.2.1, for=unknown, for=10.0.0.7', '10.0.0.7'],
    ['for=192.0.2.1;for=192.0.2.2', PROXY],
    ['by=192.0.2.1', PROXY],
    ['192.0.2.1', PROXY],
    ['for 192.0.2.1', PROXY],
    ['', PROXY],
    // What a client wrote does not reach what its proxy appends.
    ['for=", for=192.0.2.1', '192.0.2.1'],
    ['for=6.6.6.6;x=", for="[2001:db8::1]:99"', '2001:db8:0:0:0:0:0:1'],
    ['for=6.6.6.6;x="\\, for="192.0.2.1:1"', '192.0.2.1'],
    ['"\\\\\\", for=192.0.2.1', '192.0.2.1']
  ]
  for (const [forwarded, address] of cases) t.equal(by({ forwarded }), address, String(forwarded))
  t.end()
})

t.test('X-Forwarded-For wins over Forwarded, which a client may have sent', (t) => {
  t.equal(by({ 'x-forwarded-for': '192.0.2.1', forwarded: 'for=6.6.6.6' }), '192.0.2.1')
  t.equal(by({ 'x-forwarded-for': '', forwarded: 'for=6.6.6.6' }), PROXY, 'also where it says nothing')
  t.end()
})

t.test('neither header is believed from anybody else, and the kind of its address is told', (t) => {
  const kinds: Array<[string, 'private' | 'public']> = [
    ['192.168.1.1', 'private'], ['172.16.0.1', 'private'], ['172.31.255.255', 'private'], ['172.32.0.1', 'public'], ['127.0.0.1', 'private'],
    ['169.254.1.1', 'private'], ['100.64.0.1', 'private'], ['100.127.255.255', 'private'], ['100.128.0.1', 'public'], ['::1', 'private'],
    ['::ffff:192.168.1.1', 'private'], ['fe80::1%eth0', 'private'], ['fc00::1', 'private'], ['2001:db8::1', 'public'], ['198.51.100.1', 'public'], ['::ffff:8.8.8.8', 'public']
  ]
  for (const [peer, kind] of kinds) {
    for (const headers of [{ 'x-forwarded-for': '192.0.2.1' }, { forwarded: 'for=192.0.2.1' }, { forwarded: '' }]) {
      const { address, unnamedProxy } = clientAddress(peer, headers, trusted)
      t.equal(unnamedProxy, kind, peer)
      t.not(address, '192.0.2.1')
    }
    t.equal(clientAddress(peer, {}, trusted).unnamedProxy, null)
  }
  t.equal(clientAddress(PROXY, { forwarded: 'for=192.0.2.1' }, trusted).unnamedProxy, null)
  t.end()
})

t.test('an address with a port is that address, whatever surrounds it is garbage', (t) => {
  for (const [text, address] of [
    ['203.0.113.7:4711', '203.0.113.7'], ['203.0.113.7', '203.0.113.7'], ['[2001:db8::1]:99', '2001:db8:0:0:0:0:0:1'], ['[::ffff:203.0.113.7]:1', '203.0.113.7'],
    ['203.0.113.7:', null], ['203.0.113.7:123456', null], ['203.0.113.7:-1', null], [':80', null], ['[203.0.113.7]:80', null], ['[]:80', null], ['[2001:db8::1]:', null],
    ['[[2001:db8::1]]', null], ['2001:db8::1:99', '2001:db8:0:0:0:0:1:99'], ['203.0.113.7.1:80', null], ['999.0.113.7:80', null], ['203.0.113.7:80:80', null]
  ] as const) t.equal(forwardedAddress(text), address, text)
  t.end()
})

t.test('whatever a client puts before it, the element that its proxy appends is the one that counts', (t) => {
  const dice = createDice(11)
  const pieces = ['for=', '"', '\\', ',', ';', '=', ' ', 'for="[2001:db8::9]"', '6.6.6.6', 'host=', '[', ']', ':1', '_x', '\t']
  let wrong = 0
  for (let i = 0; i < 3000; i++) {
    const client = Array.from({ length: dice.whole(0, 12) }, () => dice.pick(pieces)).join('')
    const forwarded = `${client}, ${dice.pick(['for=192.0.2.1', 'for="192.0.2.1:99"', 'proto=https;for=192.0.2.1', 'for=192.0.2.1;host="a\\"b"'])}`
    if (by({ forwarded }) !== '192.0.2.1') wrong++
    if (by({ forwarded: client }, '198.51.100.1') !== '198.51.100.1') wrong++
  }
  t.equal(wrong, 0)
  for (const unit of ['"', '\\', ',', ';', 'for=', '\\"', ',"', '";', 'a=b;', ' ']) {
    const before = threadMs()
    by({ forwarded: unit.repeat(Math.floor(16_000 / unit.length)) })
    t.ok(threadMs() - before < 200, `16 KB of ${unit}`)
  }
  t.end()
})
