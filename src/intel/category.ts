/**
 * From facts to a ThreatCategory. Pure. The grade says how strong the fact is, so that the strongest of several
 * sources wins whatever their order:
 *
 * 5  a person says so (administrator, or our own seed at 4)
 * 4  the source classes the actor: STIX threat_actor_types, a named state sponsor, motive of hacktivists or crime
 * 3  the text says it in so many words: state-sponsored, hacktivist, ransomware group, financially motivated ...
 * 2  the kind of incident with an attributed country: espionage or sabotage by a country is a state's work
 * 1  a vendor's naming scheme (CrowdStrike, Microsoft, Secureworks name by kind: ... SPIDER and GOLD ... are crime)
 * 0  nothing: UNKNOWN. A country alone is no category: criminals live somewhere too.
 */
import type { ThreatCategory } from './shapes.ts'

interface CategoryFacts {
  /** STIX threat_actor_types, labels, roles. */
  types: string[]
  /** A sponsoring state, or null. */
  sponsor: string | null
  /** MISP cfr-type-of-incident. */
  incidents: string[]
  /** STIX motivations, MISP motive. */
  motives: string[]
  country: string | null
  names: string[]
  description: string
}

interface CategoryGuess { category: ThreatCategory, categoryGrade: number }

/** Text that is looked at: bounded, so that every pattern below stays cheap. */
const TEXT_CHARS_MAX = 4000

const BY_TYPE: Record<string, ThreatCategory> = {
  'nation-state': 'STATE_SPONSORED',
  spy: 'STATE_SPONSORED',
  'crime-syndicate': 'CYBERCRIME',
  criminal: 'CYBERCRIME',
  activist: 'HACKTIVIST',
  hacker: 'UNKNOWN',
  terrorist: 'TERRORIST',
  'insider-accidental': 'INSIDER',
  'insider-disgruntled': 'INSIDER'
}

const STATE_SERVICES = 'MOIS|IRGC|GRU|SVR|FSB|MSS|PLA|RGB|ministry|intelligence|revolutionary guard'
const STATE_BODIES = [
  'GRU|GU|SVR|FSB|MSS|PLA|MOIS|IRGC|RGB|ministry|intelligence|military',
  "people's liberation army|revolutionary guard|government|reconnaissance general bureau"
].join('|')
const BELONGS_TO = [
  'attributed to|part of|unit of|linked to|associated with|works? for|on behalf of|ties to',
  'subordinate to|affiliated with'
].join('|')
const NATIONALITIES = 'chinese|russian|iranian|north korean|vietnamese|pakistani|indian|turkish|belarusian'
const COUNTRIES = 'china|russia|iran|north korea|dprk|vietnam|pakistan|india|belarus'
const USES = [
  'deploy(s|ed|ing|ment)?|operat(e|es|ed|ing|or|ors)|develop(s|ed|er|ers|ment)?|distribut(e|es|ed|ion|ing)',
  'behind|us(e|es|ed|ing)|run(s|ning)?'
].join('|')
const RANSOMWARE_CREW = 'group|gang|operator|operation|affiliate|actor|cartel|program|strain|collective'
const CRIME = [
  'financially[- ]motivated|cyber ?-?criminal|cyber ?crime|e-?crime',
  'criminal (group|gang|actor|organi[sz]ation|threat)|initial access broker|business email compromise',
  'carding|banking trojan|extort'
].join('|')
const ESPIONAGE_WORDS = 'cyber ?espionage|espionage|regime|apt|advanced persistent threat'
const STATE_WORDS = 'espionage|apt|advanced persistent|intelligence|state|government'

/** In this order: the first that speaks wins. Alternatives only and bounded gaps: no pattern can backtrack far. */
const BY_TEXT: Array<[ThreatCategory, RegExp]> = [
  ['TERRORIST', /\b(terrorist (group|organi[sz]ation|actor)|cyber ?caliphate|jihadi)/i],
  ['STATE_SPONSORED', /\b(state|government|regime)[- ](sponsored|backed|affiliated|linked|aligned|directed)\b/i],
  ['STATE_SPONSORED', /\bnation[- ]state\b/i],
  ['HACKTIVIST', /\bhacktivis[mt]/i],
  ['STATE_SPONSORED', pattern(`\\b(${BELONGS_TO})\\b[^.]{0,80}\\b(${STATE_BODIES})\\b`)],
  ['STATE_SPONSORED', pattern(`\\blinked\\b[^.]{0,60}\\bto\\b[^.]{0,60}\\b(${STATE_SERVICES})\\b`)],
  ['STATE_SPONSORED', pattern(`\\b(${NATIONALITIES})(-speaking)? [^.]{0,40}\\b(${ESPIONAGE_WORDS})\\b`)],
  ['RANSOMWARE', pattern(`\\bransomware(-as-a-service| as a service)? (${RANSOMWARE_CREW})`)],
  ['RANSOMWARE', pattern(`\\b(${USES}) \\b[^.]{0,60}\\bransomware`)],
  ['CYBERCRIME', pattern(`\\b(${CRIME})`)],
  ['STATE_SPONSORED', pattern(`\\b(${NATIONALITIES}|israeli|lebanese|syrian)[^.]{0,40}\\b(${STATE_WORDS})\\b`)],
  [
    'STATE_SPONSORED',
    pattern(`\\b(${COUNTRIES})[- ](nexus|aligned|linked|backed|sponsored|based (cyber )?espionage)`)
  ],
  ['CYBERCRIME', /\bransomware\b/i]
]

const ESPIONAGE =
  /\b(cyber[- ]?)?espionage\b|\bAPT\b|\badvanced persistent threat\b|\bsabotage\b|\binformation operations\b/i

/** Names of states' actors: CrowdStrike's animals, Secureworks' metals, Microsoft's weather, and numbers. */
const STATE_NAMES = [
  ' (PANDA|BEAR|KITTEN|CHOLLIMA|BUFFALO|LEOPARD|CRANE|TIGER)$',
  '^(BRONZE|IRON|COBALT|NICKEL|TUNGSTEN|ALUMINUM|TIN|COPPER|ZINC) [A-Z]+$',
  ' (Typhoon|Blizzard|Sandstorm|Sleet|Hail|Cyclone|Lightning|Rain|Dust)$',
  '^APT[- ]?\\d{1,3}$',
  '^APT-C-\\d{1,3}$'
].join('|')

const BY_NAME: Array<[ThreatCategory, RegExp]> = [
  ['CYBERCRIME', / SPIDER$|^GOLD [A-Z]+$| Tempest$|^FIN\d{1,3}$/i],
  ['HACKTIVIST', / JACKAL$/i],
  ['STATE_SPONSORED', pattern(STATE_NAMES)]
]

/** Case does not count. */
function pattern (source: string): RegExp {
  return new RegExp(source, 'i')
}

const NOT_A_SPONSOR = /^(unknown|none|n\/a|)$/i

/** The category that these facts bear, with its grade 0-4. */
export function inferCategory (facts: CategoryFacts): CategoryGuess {
  for (const type of facts.types) {
    const category = Object.hasOwn(BY_TYPE, type) ? BY_TYPE[type]! : 'UNKNOWN'
    if (category !== 'UNKNOWN') return { category, categoryGrade: 4 }
  }
  if (facts.sponsor !== null && !NOT_A_SPONSOR.test(facts.sponsor.trim())) {
    return { category: 'STATE_SPONSORED', categoryGrade: 4 }
  }
  return fromMotives(facts.motives) ?? fromText(facts.description) ?? fromIncidents(facts) ??
    fromNames(facts.names) ?? { category: 'UNKNOWN', categoryGrade: 0 }
}

function fromMotives (motives: string[]): CategoryGuess | null {
  const text = motives.join(' ').slice(0, TEXT_CHARS_MAX)
  if (/state-sponsored/i.test(text)) return { category: 'STATE_SPONSORED', categoryGrade: 4 }
  if (/hacktivis/i.test(text)) return { category: 'HACKTIVIST', categoryGrade: 4 }
  if (/cyber ?crime|personal-gain|organizational-gain/i.test(text)) return { category: 'CYBERCRIME', categoryGrade: 4 }
  return null
}

function fromText (description: string): CategoryGuess | null {
  const text = description.slice(0, TEXT_CHARS_MAX)
  const found = BY_TEXT.find(([, pattern]) => pattern.test(text))
  return found === undefined ? null : { category: found[0], categoryGrade: 3 }
}

function fromIncidents ({ incidents, country, description }: CategoryFacts): CategoryGuess | null {
  const text = incidents.join(' ').slice(0, TEXT_CHARS_MAX)
  if (/financial theft|business email|extortion/i.test(text)) return { category: 'CYBERCRIME', categoryGrade: 2 }
  const isEspionage = ESPIONAGE.test(text) || ESPIONAGE.test(description.slice(0, TEXT_CHARS_MAX))
  return country !== null && isEspionage ? { category: 'STATE_SPONSORED', categoryGrade: 2 } : null
}

function fromNames (names: string[]): CategoryGuess | null {
  for (const [category, pattern] of BY_NAME) {
    if (names.some((name) => pattern.test(name))) return { category, categoryGrade: 1 }
  }
  return null
}
