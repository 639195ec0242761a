import { GraphQLError, Kind, type ASTVisitor, type ValidationContext } from 'graphql'
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'

/**
 * What a document must not be, decided before it is executed or cached.
 *
 * mercurius' jit caches by source text alone: of two operations in one document the second would get the first one's
 * data. And it parses a source that is no GraphQL as JSON, an AST that skipped every bound.
 */
export function refuseJsonSource (source: string): void {
  const first = source.trimStart()[0]
  if (first === '[' || first === '"' || /^\{\s*"/.test(source.trimStart()) || /^[-\d]|^null\b|^true\b|^false\b/.test(source.trimStart())) {
    throw new NEKO_ERR_INPUT_INVALID('query must be a GraphQL document as text')
  }
}

/** A validation rule: one operation per document. */
export function oneOperationRule (context: ValidationContext): ASTVisitor {
  return {
    Document (node) {
      const operations = node.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)
      if (operations.length > 1) {
        context.reportError(new GraphQLError('A document may hold one operation', { nodes: operations[1], extensions: { code: 'NEKO_ERR_INPUT_INVALID' } }))
      }
    }
  }
}
