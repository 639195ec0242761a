import { readFileSync, statSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { ConfigError } from './values.ts'
import type { Environment } from './values.ts'

/**
 * `.env` as the server takes it: UTF-8 text, with or without a byte order mark, its lines ended by LF or CR LF. A file
 * that is none is refused instead of read as nothing: with all defaults in force another server would start, with
 * another store and other keys, and look well.
 */
const BYTES_MAX = 1_048_576
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]*$/

/**
 * Its variables; none when there is no such file.
 * @throws ConfigError that says what the file is, and nothing that stands in it.
 */
export function readEnvFile (path: string): Environment {
  const text = textOf(path)
  if (text === null) return {}
  // Nobody needs an empty file, and a power cut leaves one where an editor had not synced.
  if (text.trim() === '') throw new ConfigError('.env', 'is empty, as a power cut leaves it: restore or remove it')
  const found = parseEnv(text) as Environment
  if (text.split('\n').some(saysSomething) && !Object.keys(found).some((name) => NAME.test(name))) {
    throw new ConfigError('.env', 'holds no line of the form NAME=value')
  }
  return found
}

function textOf (path: string): string | null {
  const bytes = bytesOf(path)
  if (bytes === null) return null
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new ConfigError('.env', 'is UTF-16: save it as UTF-8')
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ConfigError('.env', 'is no UTF-8 text')
  }
  if (/\r(?!\n)/.test(text)) throw new ConfigError('.env', 'ends its lines with CR alone: save it with LF or CR LF')
  if (bytes.some(isControl)) throw new ConfigError('.env', 'is no text: it holds control characters')
  return text
}

function bytesOf (path: string): Buffer | null {
  try {
    const found = statSync(path)
    // Mounted over the file, it is how a container is told that there is none.
    if (found.isCharacterDevice() && found.rdev === statSync('/dev/null').rdev) return null
    // A pipe or another device could keep the reader waiting for ever, and at a reload that is the primary.
    if (!found.isFile()) throw new ConfigError('.env', 'is no regular file')
    if (found.size > BYTES_MAX) throw new ConfigError('.env', 'is larger than 1 MiB')
    return readFileSync(path)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw new ConfigError('.env', `cannot be read (${code})`)
  }
}

function isControl (byte: number): boolean {
  return (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) || byte === 0x7f
}

function saysSomething (line: string): boolean {
  return line.trim() !== '' && !line.trimStart().startsWith('#')
}
