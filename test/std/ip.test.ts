import t from 'tap'
import { addressKey, addressNumber, canonicalAddress, cidrText, createAddressSet, parseCidr } from '../../src/std/ip.ts'

t.test('one client has one spelling of its address', (t) => {
  t.equal(canonicalAddress('192.0.2.1'), '192.0.2.1')
  t.equal(canonicalAddress('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(canonicalAddress('::FFFF:c000:0201'), '192.0.2.1')
  t.equal(canonicalAddress('2001:DB8::1'), '2001:db8:0:0:0:0:0:1')
  t.equal(canonicalAddress('fe80::1%eth0'), 'fe80:0:0:0:0:0:0:1')
  t.equal(canonicalAddress('::'), '0:0:0:0:0:0:0:0')
  for (const garbage of ['', '1.2.3', '1.2.3.4.5', '01.2.3.4', '::g', '1:2:3', 'localhost', '1.2.3.4:80', "' OR 1=1"]) t.equal(canonicalAddress(garbage), null, garbage)
  t.end()
})

t.test('an IPv6 client is its /64, an IPv4 client its address', (t) => {
  t.equal(addressKey('2001:db8:0:1:2:3:4:5'), '2001:db8:0:1::/64')
  t.equal(addressKey('192.0.2.1'), '192.0.2.1')
  t.end()
})

t.test('ranges are parsed with their host bits cleared, and garbage is refused', (t) => {
  t.equal(cidrText(parseCidr('192.0.2.77/24')!), '192.0.2.0/24')
  t.equal(cidrText(parseCidr('2001:db8::77/32')!), '2001:db8:0:0:0:0:0:0/32')
  t.equal(cidrText(parseCidr('::ffff:10.1.2.3/104')!), '10.0.0.0/8')
  t.equal(cidrText(parseCidr('0.0.0.0/0')!), '0.0.0.0/0')
  for (const garbage of ['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/', '10.0.0.0/8/8', '::/129', 'x/8', '::ffff:10.0.0.0/8']) t.equal(parseCidr(garbage), null, garbage)
  t.end()
})

t.test('a set of ranges holds exactly its addresses', (t) => {
  const set = createAddressSet(['10.0.0.0/8', '192.0.2.1/32', '2001:db8::/32'])
  t.equal(set.size, 3)
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.0.2.1', '2001:db8:ffff:0:0:0:0:1']) t.ok(set.has(inside), inside)
  for (const outside of ['9.255.255.255', '11.0.0.0', '192.0.2.2', '2001:db9:0:0:0:0:0:0']) t.notOk(set.has(outside), outside)
  t.equal(addressNumber('255.255.255.255'), 4294967295n)
  t.end()
})
