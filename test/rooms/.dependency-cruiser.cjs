'use strict'

// The project's own rules, told that these files stand where they must not do what they do.
const config = require('../../.dependency-cruiser.cjs')
const BROKEN = {
  'pure-core': 'pure-core',
  'decisions-stays-below': 'room-to-room',
  'walk-has-no-framework': 'walk-framework',
  'transports-know-no-other': 'transport-to-transport'
}

module.exports = {
  ...config,
  forbidden: config.forbidden.filter(({ name }) => Object.hasOwn(BROKEN, name)).map((rule) => ({
    ...rule,
    from: { path: `^test/rooms/${BROKEN[rule.name]}\\.ts$` },
    // What the rule's own `from` captured is here a word that no path holds.
    to: JSON.parse(JSON.stringify(rule.to).replaceAll('$1', 'nowhere'))
  }))
}
