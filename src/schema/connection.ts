import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Page } from '../storage/port.ts'

/** A Relay connection with the `nodes` shortcut. */
export interface Connection<T> {
  nodes: T[]
  edges: Array<{ node: T, cursor: string }>
  pageInfo: { hasNextPage: boolean, hasPreviousPage: boolean, startCursor: string | null, endCursor: string | null }
  /** A number, or a function so that it is only counted when asked for. */
  totalCount: number | (() => number | Promise<number>)
}

/** Turns a page of the store into a connection. `after` is what the caller passed, or null. */
export function connection<T> (
  page: Page<T>,
  totalCount: Connection<T>['totalCount'],
  after: string | null = null
): Connection<T> {
  return {
    nodes: page.items,
    edges: page.items.map((node, i) => ({ node, cursor: page.cursors[i] as string })),
    pageInfo: {
      hasNextPage: page.hasNextPage,
      hasPreviousPage: after !== null,
      startCursor: page.cursors[0] ?? null,
      endCursor: page.cursors.at(-1) ?? null
    },
    totalCount
  }
}

/** SDL of one connection and its edge type. */
export function connectionSdl (node: string): string {
  return /* GraphQL */ `
    """A page of ${node} items."""
    type ${node}Connection {
      """The items of this page."""
      nodes: [${node}!]!
      """The items with their cursors."""
      edges: [${node}Edge!]!
      """Where this page stands."""
      pageInfo: PageInfo!
      """How many there are in all pages."""
      totalCount: Int!
    }

    """One ${node} with its cursor."""
    type ${node}Edge {
      """The item."""
      node: ${node}!
      """Pass it as \`after\` to go on from here."""
      cursor: String!
    }
  `
}

/** Checks `first`: 1-100, 20 when absent. @throws NEKO_ERR_INPUT_INVALID */
export function pageSize (first: number | null | undefined): number {
  if (first === null || first === undefined) return 20
  if (!Number.isInteger(first) || first < 1 || first > 100) {
    throw new NEKO_ERR_INPUT_INVALID('first must be from 1 to 100')
  }
  return first
}
