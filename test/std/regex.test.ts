import t from 'tap'
import { anyOf, captured, repeated, sequence } from '../../src/std/regex.ts'
import { words } from '../../src/std/words.ts'

t.test('parts come to the expression that one literal would be', async (t) => {
  t.same(anyOf([/a|b/, /\/c$/], 'i'), /a|b|\/c$/i)
  t.same(sequence([/^x/, [/a|b/, /c/], /d+$/], 'g'), /^x(?:a|b|c)d+$/g)
  t.same(sequence([captured([/a/, sequence([/b/, [/c/, /d/]])]), repeated([/e/, /f/], '{0,3}')]), /(a|b(?:c|d))(?:e|f){0,3}/)
})

t.test('words run over several lines', async (t) => {
  t.same(words(`
    one two
    three
  `), ['one', 'two', 'three'])
  t.same(words('one'), ['one'])
})
