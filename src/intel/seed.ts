/**
 * A few well-known actors, so that the first start has something to show. Facts only, in our own words; an import of
 * ATT&CK or MISP joins them by their ATT&CK ids, and its facts then go before these, but for the category, where a
 * person's reading is better than ours of a text (category.ts).
 */
import type { ActorRecord, ThreatCategory } from './shapes.ts'

interface Seed {
  name: string
  attackId: string
  aliases: string[]
  country: string | null
  category: ThreatCategory
  motivation: string
  since: number
  techniques: Array<[id: string, name: string]>
  description: string
}

const SPEARPHISHING: [string, string] = ['T1566.001', 'Spearphishing Attachment']
const LINK: [string, string] = ['T1566.002', 'Spearphishing Link']
const PUBLIC_APP: [string, string] = ['T1190', 'Exploit Public-Facing Application']
const VALID_ACCOUNTS: [string, string] = ['T1078', 'Valid Accounts']
const POWERSHELL: [string, string] = ['T1059.001', 'PowerShell']
const ENCRYPT: [string, string] = ['T1486', 'Data Encrypted for Impact']
const WIPE: [string, string] = ['T1485', 'Data Destruction']
const SUPPLY_CHAIN: [string, string] = ['T1195.002', 'Compromise Software Supply Chain']
const PASSWORDS: [string, string] = ['T1110.003', 'Password Spraying']

export const SEEDS: readonly Seed[] = [
  {
    name: 'APT1',
    attackId: 'G0006',
    aliases: ['Comment Crew', 'Comment Panda'],
    country: 'CN',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2006,
    techniques: [SPEARPHISHING, LINK],
    description:
      'Chinese military unit known for years of theft from English-speaking ' +
      'companies, described publicly in 2013.'
  },
  {
    name: 'APT28',
    attackId: 'G0007',
    aliases: ['Fancy Bear', 'Sofacy', 'Forest Blizzard', 'Pawn Storm'],
    country: 'RU',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2004,
    techniques: [SPEARPHISHING, LINK, PASSWORDS, PUBLIC_APP],
    description:
      'Russian military intelligence. Goes after governments, armies, parties and sports ' +
      'bodies, with phishing and guessed passwords.'
  },
  {
    name: 'APT29',
    attackId: 'G0016',
    aliases: ['Cozy Bear', 'Midnight Blizzard', 'The Dukes'],
    country: 'RU',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2008,
    techniques: [SUPPLY_CHAIN, VALID_ACCOUNTS, PASSWORDS],
    description:
      'Russian foreign intelligence. Patient access to ministries and their suppliers; ' +
      'the SolarWinds updates of 2020 were its work.'
  },
  {
    name: 'Sandworm Team',
    attackId: 'G0034',
    aliases: ['Voodoo Bear', 'Seashell Blizzard', 'APT44'],
    country: 'RU',
    category: 'STATE_SPONSORED',
    motivation: 'Sabotage',
    since: 2009,
    techniques: [WIPE, SPEARPHISHING, SUPPLY_CHAIN],
    description:
      'Russian military unit behind attacks on the Ukrainian power grid and the NotPetya wiper of 2017.'
  },
  {
    name: 'Turla',
    attackId: 'G0010',
    aliases: ['Venomous Bear', 'Snake', 'Secret Blizzard'],
    country: 'RU',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2004,
    techniques: [SPEARPHISHING, POWERSHELL],
    description:
      'Long-lived Russian espionage group with tools of its own for hiding in embassies and ministries.'
  },
  {
    name: 'Lazarus Group',
    attackId: 'G0032',
    aliases: ['Hidden Cobra', 'Diamond Sleet', 'Labyrinth Chollima'],
    country: 'KP',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage and theft',
    since: 2009,
    techniques: [SPEARPHISHING, WIPE, ENCRYPT],
    description:
      'North Korean state group: the wiping of Sony Pictures in 2014, WannaCry in ' +
      '2017, thefts from banks and exchanges since.'
  },
  {
    name: 'Kimsuky',
    attackId: 'G0094',
    aliases: ['Velvet Chollima', 'Emerald Sleet'],
    country: 'KP',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2012,
    techniques: [SPEARPHISHING, LINK],
    description:
      'North Korean collector of what think tanks, diplomats and journalists write about the peninsula.'
  },
  {
    name: 'APT41',
    attackId: 'G0096',
    aliases: ['Wicked Panda', 'Brass Typhoon'],
    country: 'CN',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage and theft',
    since: 2012,
    techniques: [SUPPLY_CHAIN, PUBLIC_APP, SPEARPHISHING],
    description:
      'Chinese group that spies for the state and steals for itself, often through ' +
      'software suppliers and games companies.'
  },
  {
    name: 'Volt Typhoon',
    attackId: 'G1017',
    aliases: ['Vanguard Panda', 'Bronze Silhouette'],
    country: 'CN',
    category: 'STATE_SPONSORED',
    motivation: 'Preparation of sabotage',
    since: 2021,
    techniques: [VALID_ACCOUNTS, PUBLIC_APP],
    description:
      'Chinese state group that settles in critical infrastructure with the ' +
      'tools it finds there, through home routers.'
  },
  {
    name: 'HAFNIUM',
    attackId: 'G0125',
    aliases: ['Silk Typhoon'],
    country: 'CN',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2021,
    techniques: [PUBLIC_APP],
    description: 'Chinese state group that used four unknown flaws of Exchange servers in early 2021.'
  },
  {
    name: 'OilRig',
    attackId: 'G0049',
    aliases: ['APT34', 'Helix Kitten', 'Hazel Sandstorm'],
    country: 'IR',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2014,
    techniques: [SPEARPHISHING, POWERSHELL],
    description: 'Iranian group aiming at energy, finance and governments of the Middle East.'
  },
  {
    name: 'MuddyWater',
    attackId: 'G0069',
    aliases: ['Static Kitten', 'Mango Sandstorm'],
    country: 'IR',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2017,
    techniques: [SPEARPHISHING, POWERSHELL],
    description: 'Iranian intelligence, working with scripts and remote administration tools.'
  },
  {
    name: 'Equation',
    attackId: 'G0020',
    aliases: ['Equation Group'],
    country: 'US',
    category: 'STATE_SPONSORED',
    motivation: 'Espionage',
    since: 2001,
    techniques: [['T1542.002', 'Component Firmware']],
    description: 'Group of great means, able to rewrite the firmware of disks; its leaked tools fed WannaCry.'
  },
  {
    name: 'FIN7',
    attackId: 'G0046',
    aliases: ['Carbon Spider', 'Sangria Tempest'],
    country: null,
    category: 'CYBERCRIME',
    motivation: 'Money',
    since: 2013,
    techniques: [SPEARPHISHING, POWERSHELL],
    description:
      'Criminals who stole payment cards from restaurants and hotels, later partners of ransomware crews.'
  },
  {
    name: 'Wizard Spider',
    attackId: 'G0102',
    aliases: ['UNC1878', 'Periwinkle Tempest'],
    country: 'RU',
    category: 'RANSOMWARE',
    motivation: 'Money',
    since: 2016,
    techniques: [ENCRYPT, SPEARPHISHING, POWERSHELL],
    description: 'Makers of TrickBot, and of the Ryuk and Conti ransomware.'
  },
  {
    name: 'Indrik Spider',
    attackId: 'G0119',
    aliases: ['Evil Corp'],
    country: 'RU',
    category: 'RANSOMWARE',
    motivation: 'Money',
    since: 2014,
    techniques: [ENCRYPT, POWERSHELL],
    description: 'Makers of the Dridex banking trojan who moved on to ransomware.'
  },
  {
    name: 'Scattered Spider',
    attackId: 'G1015',
    aliases: ['Octo Tempest', 'UNC3944'],
    country: null,
    category: 'CYBERCRIME',
    motivation: 'Money',
    since: 2022,
    techniques: [VALID_ACCOUNTS, ['T1621', 'Multi-Factor Authentication Request Generation']],
    description:
      'English-speaking criminals who talk help desks into resetting accounts, then steal and extort.'
  },
  {
    name: 'LAPSUS$',
    attackId: 'G1004',
    aliases: ['Strawberry Tempest', 'DEV-0537'],
    country: null,
    category: 'CYBERCRIME',
    motivation: 'Notoriety and money',
    since: 2021,
    techniques: [VALID_ACCOUNTS],
    description:
      'Young extortionists who bought and begged their way into large technology ' +
      'companies and published what they took.'
  }
]

/** The seeds as records of their source. */
export function seedRecords (): ActorRecord[] {
  return SEEDS.map((seed) => ({
    source: 'seed',
    key: seed.attackId.toLowerCase(),
    version: 1,
    amends: null,
    name: seed.name,
    aliases: seed.aliases,
    attackIds: [seed.attackId],
    country: seed.country,
    category: seed.category,
    categoryGrade: 4,
    motivation: seed.motivation,
    techniques: seed.techniques.map(([id, name]) => ({ id, name })),
    references: [{ name: 'MITRE ATT&CK', url: `https://attack.mitre.org/groups/${seed.attackId}` }],
    firstSeen: Date.UTC(seed.since, 0, 1),
    lastSeen: null,
    description: seed.description
  }))
}
