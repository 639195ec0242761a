'use strict'

// The project's own rules, told that these files stand where they must not do what they do.
const config = require('../../.dependency-cruiser.cjs')

module.exports = {
  ...config,
  forbidden: config.forbidden.filter((rule) => rule.name === 'pure-core' || rule.name === 'decisions-stays-below').map((rule) => ({
    ...rule,
    from: { path: rule.name === 'pure-core' ? '^test/rooms/pure-core\\.ts$' : '^test/rooms/room-to-room\\.ts$' }
  }))
}
