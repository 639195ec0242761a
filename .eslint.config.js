import neostandard from 'neostandard'

// Two names are closed everywhere but in the one file that owns them, so that time and configuration enter by one door.
const onlyInConfig = { object: 'process', property: 'env', message: 'Read the environment in src/config/config.ts only.' }
const onlyInClock = { object: 'Date', property: 'now', message: 'Take the time from a Clock (src/std/clock.ts).' }
const onlyInMain = { object: 'process', property: 'exit', message: 'Only src/main.ts ends the process.' }

export default [
  ...neostandard({ ts: true, ignores: ['node_modules/**', '.tap/**', '.neko/**', 'coverage/**'] }),
  {
    rules: {
      // TypeBox value and type share one name.
      'no-redeclare': 'off',
      '@typescript-eslint/no-redeclare': 'off',
      // It sees no change that a callback or another turn of the event loop makes.
      'no-unmodified-loop-condition': 'off',
      // Control characters are what a payload scanner looks for.
      'no-control-regex': 'off'
    }
  },
  {
    files: ['src/**/*.ts', 'workers/**/*.ts'],
    rules: {
      'no-console': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      'no-restricted-properties': ['error', onlyInConfig, onlyInClock, onlyInMain]
    }
  },
  { files: ['src/config/config.ts'], rules: { 'no-restricted-properties': ['error', onlyInClock, onlyInMain] } },
  { files: ['src/std/clock.ts'], rules: { 'no-restricted-properties': ['error', onlyInConfig, onlyInMain] } },
  { files: ['src/main.ts'], rules: { 'no-restricted-properties': ['error', onlyInConfig, onlyInClock] } }
]
