import { defineConfig } from 'vitest/config'

const conditions = ['development', 'node', 'import', 'module', 'default']
/** Tests run from the sources: no build comes first. */
const fromSources = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
}

export default defineConfig({
  ...fromSources,
  test: {
    projects: [
      {
        ...fromSources,
        test: {
          name: 'unit',
          include: ['packages/**/*.test.ts', 'tests/contract/**/*.test.ts', 'tests/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        ...fromSources,
        test: { name: 'sim', include: ['tests/simulation/**/*.test.ts'], testTimeout: 300_000 },
      },
    ],
  },
})
