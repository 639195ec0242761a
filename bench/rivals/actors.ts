/**
 * What do the rivals answer from? NEKO's own SDL as far as the measured queries reach, and what NEKO itself answered.
 * Counts are kept in memory, as NEKO keeps them; actors are documents of JSON in SQLite, read by an index in the order
 * of their names and parsed for each request, as NEKO's are.
 */
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

interface Facts {
  counts: Array<{ category: string, count: number }>
  /** In the order of NEKO's pages. */
  actors: Array<{ id: string, name: string } & Record<string, unknown>>
}

export const SDL = /* GraphQL */ `
  enum ThreatCategory { STATE_SPONSORED CYBERCRIME RANSOMWARE HACKTIVIST TERRORIST INSIDER UNKNOWN }
  type ThreatCount { category: ThreatCategory! count: Int! }
  type Technique { id: String! name: String url: String! }
  type Reference { name: String url: String! }
  type ThreatActor {
    id: ID!
    name: String!
    aliases: [String!]!
    country: String
    category: ThreatCategory!
    motivation: String
    techniques: [Technique!]!
    references: [Reference!]!
    sources: [String!]!
    description: String
  }
  type ThreatActorConnection { nodes: [ThreatActor!]! totalCount: Int! }
  type Query {
    threatCounts: [ThreatCount!]!
    threatActors(first: Int = 20): ThreatActorConnection!
  }
`

interface Actors {
  counts (): Facts['counts']
  page (first: number): { nodes: Facts['actors'], totalCount: number }
}

/** @param file JSON of `Facts`; the database stands beside it. */
export function openActors (file: string): Actors {
  const { counts, actors } = JSON.parse(readFileSync(file, 'utf8')) as Facts
  const database = new DatabaseSync(`${file}.${process.pid}.db`)
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('CREATE TABLE actors (id TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE, doc TEXT NOT NULL)')
  const insert = database.prepare('INSERT INTO actors VALUES (?, ?, ?)')
  for (const [place, actor] of actors.entries()) insert.run(actor.id, place, JSON.stringify(actor))
  const select = database.prepare('SELECT doc FROM actors ORDER BY place LIMIT ?')
  return {
    counts: () => counts,
    page: (first) => ({
      nodes: select.all(first).map(({ doc }) => JSON.parse(doc as string) as Facts['actors'][number]),
      totalCount: actors.length
    })
  }
}
