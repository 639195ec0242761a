/**
 * The storage port: all that rooms may ask of a database, and that an adapter must give.
 *
 * Owns: the shapes below. Never does: name a driver. Data in and out: plain JSON documents with an `id`.
 * Why so small: SQLite and MongoDB must behave alike (one contract suite runs on both), so the port holds what both
 * do well: unique indexes, expiry, cursor pages, compare-and-set. There are no transactions across collections;
 * rooms that need one write one document.
 */
export type Scalar = string | number | boolean | null

/** A document: JSON only, times in ms. The adapter keeps `revision`: 1 at insert, one more at each change. */
export interface Document { id: string }
export type Stored<T extends Document> = T & { revision: number }

/** One condition on one field. Dotted paths (`a.b`) are allowed; arrays are matched by none of these. */
export type Condition =
  | Scalar
  | { in: Scalar[] }
  | { gt?: Scalar, gte?: Scalar, lt?: Scalar, lte?: Scalar }
  | { ne: Scalar }
  /** Case-sensitive substring of 1-200 characters; never uses an index, so only for small collections. */
  | { contains: string }

/** All conditions hold (AND). */
export type Where = Record<string, Condition>

export interface IndexDefinition {
  /** Unique in its collection. */
  name: string
  /** In order; 1 ascending, -1 descending. */
  fields: Array<[field: string, direction: 1 | -1]>
  /** Documents that lack the first field (or hold null there) are left out of a unique index. */
  unique?: boolean
}

export interface CollectionDefinition {
  name: string
  indexes: IndexDefinition[]
  /** A field of ms since the epoch, or null: the document is invisible from then on, and removed within a minute. */
  expiryField?: string
  /** Of documents with versions (journal/shapes.ts): when one was made, and until when it lasts. */
  versionFields?: { madeAt: string, endsAt: string }
  /** Always read from the primary, whatever MONGODB_URI's readPreference says: identity must not see the past. */
  primaryReads?: boolean
}

export interface FindOptions {
  where?: Where
  /** At most two fields; `id` breaks ties, in the direction of the last one. Default: id ascending. */
  sort?: Array<[field: string, direction: 1 | -1]>
  /** 1-1000. */
  first: number
  /** A cursor from an earlier page with the same sort; NEKO_ERR_CURSOR_INVALID when it is none. */
  after?: string | null
}

/**
 * What a document was when it was read. Only the collection that gave it can look into it.
 */
export type Mark = object
/** `mark` is null where nothing is known of the document. */
export interface Known { id: string, mark: Mark | null }
/** A document that is there. It is null where nobody has written it since the mark by which it was asked for. */
export interface Reading<T extends Document> { id: string, mark: Mark, document: Stored<T> | null }

export interface Page<T> { items: T[], cursors: string[], hasNextPage: boolean }

export interface Collection<T extends Document> {
  readonly definition: CollectionDefinition
  get (id: string): Promise<Stored<T> | null>
  getMany (ids: string[]): Promise<Array<Stored<T>>>
  /**
   * As `getMany`, and as exact, for those who keep what they made of documents: one that was not written since its
   * mark is neither read nor parsed again. A mark holds of one writing: a document that was removed and inserted anew
   * has another one, whatever its revision.
   */
  getChanged (known: readonly Known[]): Promise<Array<Reading<T>>>
  /** The first match, or null. */
  findOne (where: Where): Promise<Stored<T> | null>
  find (options: FindOptions): Promise<Page<Stored<T>>>
  count (where?: Where): Promise<number>
  /** NEKO_ERR_STORE_DUPLICATE when the id or a unique index is taken. */
  insert (doc: T): Promise<Stored<T>>
  /** Up to 1000 in one commit; duplicates by id are skipped: replay is idempotent. Returns how many were new. */
  insertMany (docs: T[]): Promise<number>
  /** Insert or replace by id, whatever the revision (idempotent replay, seeds). */
  put (doc: T): Promise<Stored<T>>
  putMany (docs: T[]): Promise<void>
  /** Compare-and-set: replaces only at that revision; null when someone was faster or it is gone. */
  replace (doc: T, revision: number): Promise<Stored<T> | null>
  /** True when there was one. */
  delete (id: string): Promise<boolean>
  /** Removes at most `limit` matches (1-10000), oldest by id first; returns how many. */
  deleteWhere (where: Where, limit: number): Promise<number>
}

/**
 * How long a call may take: 2 s, since a request waits for it, or 5 s for work that nobody waits for. That `background`
 * work is late says nothing of the store: requests go on as before, and it may be asked while they are not let through.
 */
export type Patience = 'request' | 'background'

export interface StorageHealth {
  up: boolean
  /** Why not, as a class readiness may show: auth, refused, tls, timeout, locked, full, readonly, lost,
   * corrupt, other. */
  reason: string | null
}

export interface Storage {
  readonly kind: 'sqlite' | 'mongodb'
  /**
   * Same definition object and patience (default: `request`), same collection. Its calls throw
   * NEKO_ERR_STORE_UNAVAILABLE when the store is down.
   */
  collection<T extends Document> (definition: CollectionDefinition, patience?: Patience): Collection<T>
  /** Creates collections and indexes idempotently and applies additive upgrades; one migrator at a time (a lock). */
  migrate (definitions: CollectionDefinition[]): Promise<void>
  health (): StorageHealth
  /** Calls back at each change of `up`. */
  onHealth (listener: (health: StorageHealth) => void): void
  /** The plan's index names for a find, for tests: [] means a full scan. */
  explain (definition: CollectionDefinition, options: FindOptions): Promise<string[]>
  /** A consistent copy in one file (SQLite only; NEKO_ERR_BACKUP_UNSUPPORTED elsewhere). */
  backup (file: string): Promise<void>
  /** Waits for writes under way, then lets go. */
  close (): Promise<void>
}
