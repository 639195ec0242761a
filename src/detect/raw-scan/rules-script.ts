import { anyOf, sequence } from '../../std/regex.ts'
import { words } from '../../std/words.ts'
import { standsBefore } from './rule.ts'
import type { RawRule } from './rule.ts'

/**
 * Rules for scripts and markup that a browser would run (XSS). A certain one has no ordinary reading in prose
 * (raw-scan-corpus.test.ts).
 */

/** What a script does that is there to prove that it ran, or to take something away. */
const ACTS = anyOf([
  /(?:alert|prompt|confirm|eval|print|atob|fetch|settimeout|import|require|\$\.(?:get|post|getscript))\s?[(`]/,
  /document\s?[.[]|window\s?[.[]|location\s?=|self\[|top\[|this\[|string\.fromcharcode/,
  /new\s?(?:image|function)\b|\[\]\[/,
  /\w{1,12}\s?=\s?(?:alert|eval|prompt|confirm)\b|throw\s|onerror\s?=/
])

/**
 * Handlers that fire by themselves or at the first movement: attacks choose them. Those that pages write for people
 * (click, submit, change) are left out.
 */
const EASILY_FIRED = anyOf([
  /error|load(?:start|end|eddata|edmetadata)?|toggle|focus(?:in)?|blur|begin|end|repeat|start|pageshow/,
  /hashchange|wheel/,
  /animation(?:start|end|iteration|cancel)|transition(?:end|run|start|cancel)|canplay(?:through)?/,
  /play(?:ing)?|scroll(?:end)?/,
  /mouse(?:over|enter|move|out|leave|down|up|wheel)|pointer(?:over|enter|move|rawupdate|out|down|up)|resize|popstate/,
  /beforescriptexecute|message|unload|beforeunload|finish|bounce|propertychange|readystatechange|show|cut|copy|paste/,
  /securitypolicyviolation|auxclick|beforetoggle|contentvisibilityautostatechange|durationchange|timeupdate/,
  /search|drag\w*/
])

export const SCRIPT_RULES: RawRule[] = [
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ['<script', '<x:script', '<svg:script'],
    pattern: sequence([/<(?:\w{1,8}:)?script(?:[\s/][^<>\n]{0,60})?>[\s"'(;,+-]{0,6}(?:\/\/\s)?/, [
      /(?:alert|prompt|confirm|eval|print)\s?[(`.]/,
      /document\.(?:cookie|domain|location)|location\s?(?:=|\.href)|new\simage|fetch\s?\(|string\.fromcharcode/,
      /\w{1,12}\s?=\s?(?:alert|eval|prompt|confirm)\b|throw\s|window\[|self\[|\[\]\[/,
      /document\.write\(\s?['"]<(?:img|script)/
    ]])
  },
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ['<script'],
    onlyInHead: true,
    pattern: /<script(?:[\s/>]|$)/
  },
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: [' on', '/on', '"on', "'on", '\non', '`on', '>on'],
    inside: 'tag',
    pattern: sequence([
      /[\s/"'`>]on(?=[a-z]{3,40}\s?=)/,
      [EASILY_FIRED],
      /\s?=\s?["'`(]?(?:javascript:)?[^>"'\n]{0,24}?/,
      [ACTS]
    ])
  },
  {
    // An attribute that is left through its own quote.
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ["' on", '" on', "'on", '"on', '"/on', "'/on", '`on', '` on'],
    pattern: sequence([/["'`][\s/]{0,2}on(?=[a-z]{3,40}\s?=)/, [EASILY_FIRED, /click|submit|key\w{2,5}|change|input/],
      /\s?=\s?["'`(]{0,2}(?:javascript:)?\w{0,12}?\s?(?:alert|prompt|confirm|eval|print)\s?[(`]/])
  },
  {
    // The same behind other attributes.
    rule: 'xss.raw',
    grade: 'certain',
    anchors: [' on', '/on'],
    pattern: sequence([/[\s/]on(?=[a-z]{3,40}\s?=)/, [EASILY_FIRED],
      /\s?=\s?["'`(]{0,2}(?:javascript:)?(?:alert|prompt|confirm|eval|print)\s?[(`]/])
  },
  {
    rule: 'xss.raw',
    grade: 'likely',
    anchors: [' on', '/on', '"on', "'on", '\non'],
    inside: 'tag',
    pattern: sequence([/[\s/"']on(?=[a-z]{3,40}\s?=)/, [EASILY_FIRED], /\s?=\s?["'`]?[\w.$]{1,30}\s?[(`=]/])
  },
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ['javascript:', 'vbscript:', 'livescript:'],
    pattern: sequence([
      standsBefore([
        /(?:(?:href|src|action|formaction|data|to|from|values|background|poster|url|content|\w{1,20})\s?=|["'(>])/,
        /\s?["'`(]{0,2}\s?/
      ]),
      /(?:java|vb|live)script:[\s/*%'"();+!-]{0,8}/,
      [
        /(?:alert|prompt|confirm|eval|print|msgbox|fetch|import)\s?[(`]/,
        /document\.(?:cookie|domain|location|write)|\w{1,12}=alert\b/,
        /(?:window|self|top|this)\[|string\.fromcharcode|location\s?=/]
    ])
  },
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ['data:text/html', '<script', 'url=javascript', '<svg', '<img'],
    inside: 'tag',
    pattern: sequence([standsBefore([/(?:href|src|data|action|srcdoc|content)\s?=\s?["'`]?\s?\d{0,2};?\s?/]),
      /(?:data:text\/html|<(?:script|svg|img)[\s/>]|url=javascript)/])
  },
  {
    // A script's own string is left, or an expression of it is.
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ['alert(', 'prompt(', 'confirm(', 'alert`', 'eval(', 'alert ('],
    pattern: sequence([
      /(?<=(?:["'`][\s)}\]]{0,3}(?:;|-|\+|\*|\/|\|\||&&|,|%0a|\^)|<\/script>)\s?\(?)/,
      sequence([
        /(?:alert|prompt|confirm|eval)\s?[(`][^)\n]{0,40}[)`]\s?/,
        /(?:;?\s?(?:\/\/|<!--)|;\s?\w{1,10}\s?=\s?\(?["']|[-+*;,)/]\s?(?:["'`]|\/\/)|[;}]?\s?$)/
      ])
    ])
  },
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: [
      ...words(`
        alert(document. prompt(document. confirm(document. alert(string.fromcharcode alert(/xss alert("xss top["al
        window["al []["filter"]
      `),
      "alert('xss", "window['al", "top['al", "self['al", "[]['filter']"
    ],
    pattern: anyOf([
      /(?:alert|prompt|confirm)\((?:document\.(?:cookie|domain|location)|string\.fromcharcode|["'/]xss)/,
      /(?:top|window|self)\[["']al|\[\]\[["']filter["']\]\[["']constructor/
    ])
  },
  {
    rule: 'xss.raw',
    grade: 'certain',
    anchors: ['expression('],
    inside: 'tag',
    pattern: /(?<=:\s?)expression\(\s?(?:alert|eval|document|window|prompt|confirm)\b/
  },
  {
    rule: 'xss.raw',
    grade: 'likely',
    anchors: [
      ...words('<script </script> <svg/onload srcdoc data:text/html <isindex <marquee <bgsound -moz-binding'),
      '<svg onload'
    ],
    pattern: anyOf([
      /<script[\s/>]|<\/script>\s?</,
      /<svg[\s/]onload|srcdoc\s?=\s?["']?\s?[<&]/,
      /(?<=[=(]\s?["']?)data:text\/html[;,]|<(?:isindex|bgsound)\s|-moz-binding\s?:\s?url/
    ])
  }
]
