import { RegExpParser } from '@eslint-community/regexpp'
import type { AST } from '@eslint-community/regexpp'
import fc from 'fast-check'

/** What is repeated, what stands once before it, and what stands behind it so that a match fails there. */
export interface Pump { lead: string, unit: string, tail: string }

export function textOf ({ lead, unit, tail }: Pump, length: number): string {
  const room = Math.max(unit.length, length - lead.length - tail.length)
  return lead + unit.repeat(Math.floor(room / unit.length)) + tail
}

/** What makes careless patterns slow: runs that two parts of a pattern can share, and openings that never close. */
export const CLASSIC_UNITS: readonly string[] = [
  ' ', ';', '; ', '(', ')', '()', '( ', ';(', "'", '"', '`', '\\', '\\\\', '/', '//', '/*', '*/', '/**/', '/* ', '*', '.',
  '..', '../', './', '/.', '.;', '-', '--', '- ', '#', '%', '%%', '%2', '%20', '%25', '%c0', '&', '&&', '&#', '&a', '&lt;', '=',
  '==', '= ', '<', '<<', '<a ', '<a b="', '<a b=', '</', '<!--', '<![', '<?', '<% ', '>', '{', '{{', '{%', '{%{%', '${',
  '${${', '#{', '}', '[', '[[', ']', '][', '|', '||', '! ', '!', '?', '??', ',', ', ', ':', '::', '://', '@', '@@', '~', '^',
  '$', '$$', '$a', '+', '+A', '_', '__', 'a', 'ab', 'A', 'a ', 'a.', 'a-', 'a/', 'a=', 'a=b&', 'a=b;', 'a:', 'a@', 'a,', "a'",
  'a"', '"a"', "'a'", 'a(', 'a()', '(a', 'a\\', 'a\n', '1', '0', '1 ', '1,', '1.', '01', '0x', '0x2e', '1=1', '\n', '\r\n',
  '\n\n', '\r', '\n ', '\t', '\0', '\u00e9', '\u3000', '\uff1c', '\ud800', 'javascript:1,<a b="', 'javascript:', 'data:', 'on',
  ' on', 'onload=', 'select ', 'union ', 'union select ', 'or 1=1 ', "' or '", 'and ', 'exec ', 'declare @a ', 'update a ',
  'select a from b ', 'case when ', 'char(1)||', ';if(', 'cat ', ';cat ', '|cat', '$(', 'sh ', 'for a ', 'powershell ', 'http:',
  'http://', '?a=http://', 'http://a@', 'file://', 'php:', 'a://', '\\u0061', '\\x61', '\\u', '["', '{"a":', '"a":"b",',
  'Set-Cookie:', '\r\nto:', '<!entity a ', '<!doctype a ', '<xi:include ', 'return ', 'function(', 'this.a', 'a.b.c.', 'a_a',
  'a-a ', '$a[', '$a->', "['a']", '"a" + ', 'java.', '@{[', '{{#', 'bearer ', 'eyJ', 'eyJaaaaaaaa.', 'name="a"', '<a>b',
  'password=', '-----BEGIN PRIVATE KEY-----', 'AAAA', 'QUJD', '+ADw-', 'query{a', '"""', 'a{b', 'fragment a on b{'
]

const TAILS = ['', '\n!', '"', '\u0000a']
/** Classic openings before a run: what a search must be led by until it reaches the part that is slow. */
const LEADS = ['', 'the select few ', '<a ', "' or ", '"', '{{', '$a', 'http://', '1']

/** The classic pumps, each alone and behind what leads a detector on. */
export const CLASSIC_PUMPS: readonly Pump[] = CLASSIC_UNITS.flatMap((unit) =>
  ['', 'the select few '].map((lead) => ({ lead, unit, tail: '' })))

/** Random pieces after one another, the same ones in every run. */
export function randomPumps (pieces: readonly string[], count: number, seed: number): Pump[] {
  const piece = fc.constantFrom(...pieces)
  const unit = fc.array(piece, { minLength: 2, maxLength: 4 }).map((some) => some.join(''))
  return fc.sample(fc.record({ lead: fc.constantFrom(...LEADS), unit, tail: fc.constantFrom(...TAILS) }), {
    numRuns: count,
    seed
  })
}

const parser = new RegExpParser({ ecmaVersion: 2025 })
const PUMPS_MAX = 180
/** Times that a repeated part stands in a unit with what leads to it. */
const RUN = 24

/** Pumps out of a pattern's own parts: what it repeats, what leads there, and both again and again. */
export function pumpsOf (pattern: RegExp): Pump[] {
  const ast = parser.parsePattern(pattern.source, 0, pattern.source.length, {
    unicode: pattern.unicode,
    unicodeSets: pattern.unicodeSets
  })
  const found = new Map<string, { lead: string, unit: string }>()
  const add = (lead: string, unit: string): void => {
    if (unit === '' || lead.length + unit.length > 400) return
    found.set(`${lead}\u0001${unit}`, { lead, unit })
  }
  walkAlternatives(ast.alternatives, '', add)
  const pumps: Pump[] = []
  for (const { lead, unit } of spread([...found.values()], PUMPS_MAX / 6)) {
    pumps.push({ lead: '', unit, tail: '' }, { lead, unit, tail: '' }, { lead, unit, tail: '\n!' })
    if (lead !== '') {
      pumps.push({ lead: '', unit: lead, tail: '' }, { lead: '', unit: lead + unit, tail: '' })
      pumps.push({ lead: '', unit: lead + unit.repeat(RUN), tail: '' })
    }
  }
  return pumps
}

/** The pieces that a pattern is made of, for random pumps. */
export function piecesOf (pumps: readonly Pump[]): string[] {
  return [...new Set(pumps.flatMap(({ lead, unit }) => [lead, unit]).filter((piece) => piece !== ''))]
}

/** At most `max` of them, evenly over the whole. */
export function spread<T> (all: T[], max: number): T[] {
  if (all.length <= max) return all
  return Array.from({ length: Math.floor(max) }, (_, at) => all[Math.floor(at * all.length / max)] as T)
}

function walkAlternatives (alternatives: AST.Alternative[], before: string, add: (lead: string, unit: string) => void): void {
  for (const { elements } of alternatives) {
    for (const variant of [0, 1]) {
      let lead = before
      for (const element of elements) {
        if (element.type === 'Quantifier' && element.max > 1) {
          for (const one of [0, 1, 2, 3]) add(lead, sample(element.element, one))
        }
        const inner = element.type === 'Quantifier' ? element.element : element
        if (variant === 0 && (inner.type === 'Group' || inner.type === 'CapturingGroup')) {
          walkAlternatives(inner.alternatives, lead, add)
        } else if (inner.type === 'Assertion' && 'alternatives' in inner) walkAlternatives(inner.alternatives, lead, add)
        lead += sample(element, variant)
      }
      add('', lead)
    }
  }
}

/** A short text that the part matches; `variant` chooses among alternatives and characters. */
function sample (node: AST.Element | AST.QuantifiableElement, variant: number): string {
  switch (node.type) {
    case 'Character': return String.fromCodePoint(node.value)
    case 'CharacterSet':
    case 'CharacterClass':
    case 'ExpressionCharacterClass': return memberOf(node.raw, variant)
    case 'Group':
    case 'CapturingGroup': {
      const one = node.alternatives[variant % node.alternatives.length] as AST.Alternative
      return one.elements.map((element) => sample(element, variant)).join('')
    }
    case 'Quantifier': return node.min === 0 && variant % 2 === 0 ? '' : sample(node.element, variant).repeat(Math.max(1, node.min))
    default: return ''
  }
}

const CHARACTERS = 'a 1;(\'"/.<=-_)\\,:&%|{}[]$+*@!?#`~^>z\n\0\t\u00e90Ab5'
const members = new Map<string, string[]>()

function memberOf (raw: string, variant: number): string {
  let known = members.get(raw)
  if (known === undefined) {
    const pattern = new RegExp(`^${raw}$`, 'is')
    known = [...CHARACTERS].filter((one) => pattern.test(one))
    for (let code = 0x20; known.length === 0 && code < 0xffff; code++) {
      if (pattern.test(String.fromCharCode(code))) known.push(String.fromCharCode(code))
    }
    members.set(raw, known)
  }
  return known[variant % Math.max(1, known.length)] ?? ''
}
