import type { Config } from '../config/config.ts'

/** The one banner, when everything is ready: what a person needs who has just typed `npm start`. */
interface BannerFacts {
  config: Config
  version: string
  url: string
  metricsUrl: string
}

/** The lines that a start prints. */
export function bannerText ({ config, version, url, metricsUrl }: BannerFacts): string {
  const { standard, relaxed, service, strict } = config.rates
  const rate = (name: string, { max, windowSeconds }: { max: number, windowSeconds: number }): string =>
    `${name} ${max}/${windowSeconds}s`
  const lines: Array<[string, string]> = [
    ['GraphQL', `${url}/graphql${config.production ? '' : `   (try it: ${url}/graphiql)`}`],
    ['health', `${url}/health/ready`],
    ['metrics', `${metricsUrl}/metrics`],
    [
      'processes',
      `${config.workers} × ${counted(config.scoringThreads, 'scoring thread')} (${config.scoringMode})`
    ],
    ['store', config.mongodbUri === null ? `SQLite in ${config.dataDir}` : `MongoDB ${config.mongodbDatabase}`],
    ['shared by', config.redisUrl === null ? 'the processes of this host (no REDIS_URL)' : 'all hosts through Redis'],
    [
      'limits',
      [
        rate('anonymous', standard),
        rate('signed in', relaxed),
        rate('API keys', service),
        rate('login', strict)
      ].join(', ')
    ],
    [
      'enforcement',
      `${config.enforcement}: challenge at ${config.challengeThreshold}, block at ${config.blockThreshold}`
    ]
  ]
  return [
    `NEKO Defense API ${version} is ready\n`,
    ...lines.map(([label, text]) => lineOf(label, text))
  ].join('')
}

/** The one line that shows the password of an administrator that was made: stored nowhere, never logged. */
export function firstLoginText ({ adminUsername }: Pick<Config, 'adminUsername'>, oneTimePassword: string): string {
  return lineOf('first login', `${adminUsername} / ${oneTimePassword}   (shown this once)`)
}

function lineOf (label: string, text: string): string {
  return `  ${label.padEnd(12)} ${text}\n`
}

function counted (count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
