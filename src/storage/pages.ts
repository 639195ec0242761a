import type { Collection, Document, FindOptions, Page, Stored } from './port.ts'

/**
 * All matches, in pages of `first` documents, until `most` were seen (the last page whole). A walk is no snapshot:
 * documents that are written meanwhile may be seen or not.
 *
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function * pagesOf<T extends Document> (
  collection: Pick<Collection<T>, 'find'>,
  { most, ...options }: Omit<FindOptions, 'after'> & { most: number }
): AsyncGenerator<Array<Stored<T>>> {
  let after: string | null = null
  let seen = 0
  do {
    const page: Page<Stored<T>> = await collection.find({ ...options, after })
    yield page.items
    seen += page.items.length
    after = page.hasNextPage && seen < most ? page.cursors.at(-1) ?? null : null
  } while (after !== null)
}
