/** Known agents, a versioned data file. Names are lower case and matched as described at each list. */
export const AGENTS_VERSION = '2026.11.21'
