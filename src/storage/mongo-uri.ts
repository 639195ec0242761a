import { MongoClient, type MongoClientOptions } from 'mongodb'
import { ConfigError } from '../config/config.ts'

/** MONGODB_URI and the driver's options beside it (pure, but for the client that it makes). */

/** Pool and timeouts; whatever the URI says itself wins. */
const OPTIONS: Readonly<MongoClientOptions> = {
  minPoolSize: 2,
  maxPoolSize: 10,
  maxIdleTimeMS: 10_000,
  serverSelectionTimeoutMS: 5000,
  socketTimeoutMS: 45_000,
  waitQueueTimeoutMS: 5000,
  connectTimeoutMS: 5000,
  retryWrites: true,
  retryReads: true,
  w: 'majority',
  appName: 'neko-defense-api',
  ignoreUndefined: true
}

/** The driver lets an option object win over the URI: so leave out what the URI names. */
export function clientOptions (uri: string): MongoClientOptions {
  const query = uri.split('?').slice(1).join('?')
  const pairs = [...query.matchAll(/(?:^|&)([^=&]+)=([^&]*)/g)]
  const named = new Map(pairs.map(([, name, value]) => [name!.toLowerCase(), value!]))
  const options: MongoClientOptions = Object.fromEntries(
    Object.entries(OPTIONS).filter(([name]) => !named.has(name.toLowerCase()))
  )
  // One end of the pool named: ours of the other end must not cross it, or the driver never connects (0 is no bound).
  const [least, most] = [Number(named.get('minpoolsize') ?? NaN), Number(named.get('maxpoolsize') ?? NaN)]
  if (most > 0 && options.minPoolSize !== undefined) options.minPoolSize = Math.min(options.minPoolSize, most)
  if (least > 0 && options.maxPoolSize !== undefined) options.maxPoolSize = Math.max(options.maxPoolSize, least)
  return options
}

/** @throws ConfigError naming MONGODB_URI; never the driver's own words, which may repeat a password. */
export function createClient (uri: string): MongoClient {
  try {
    return new MongoClient(uri, clientOptions(uri))
  } catch {
    const problem = 'a host, or an option behind the question mark, is not what the MongoDB driver takes'
    throw new ConfigError('MONGODB_URI', `cannot be used: ${problem}`)
  }
}

/** True when the URI names a host beyond this machine and no TLS: credentials and data would travel in the clear. */
export function isRemoteWithoutTls (uri: string): boolean {
  if (/[?&](tls|ssl)=true/i.test(uri)) return false
  // mongodb+srv means TLS, unless it says otherwise.
  if (uri.startsWith('mongodb+srv:') && !/[?&](tls|ssl)=false/i.test(uri)) return false
  const hosts = uri.replace(/^mongodb(\+srv)?:\/\//, '').replace(/[/?].*$/s, '').replace(/^.*@/, '').split(',')
  return !hosts.every((host) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|.*%2F.*)(:\d+)?$/i.test(host))
}
