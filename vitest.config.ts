import { playwright } from '@vitest/browser-playwright'
import { defaultClientConditions } from 'vite'
import { defineConfig } from 'vitest/config'
import { findChromium } from './scripts/setup.mjs'

const conditions = ['development', 'node', 'import', 'module', 'default']
/** Tests run from the sources: no build comes first. */
const fromSources = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
}
const notUnit = [
  '**/node_modules/**',
  '**/dist/**',
  '**/*.browser.test.ts',
  'tests/contract/mesh-of-8.test.ts',
]

const chromium = findChromium()
/** With the loopback flag and the permissions below, a page gets 127.0.0.1 candidates without any network. */
const chromiumArgs = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--allow-loopback-in-peer-connection',
]

export default defineConfig({
  ...fromSources,
  test: {
    projects: [
      {
        ...fromSources,
        test: {
          name: 'unit',
          include: [
            'packages/**/*.test.ts',
            'apps/**/*.test.ts',
            'tests/contract/**/*.test.ts',
            'tests/fuzz/**/*.test.ts',
            'tests/*.test.ts',
          ],
          exclude: notUnit,
          // No file changes what the others see: loading all modules again for each took half of the time.
          isolate: false,
          maxWorkers: 2,
          testTimeout: 20_000,
        },
      },
      {
        ...fromSources,
        test: {
          name: 'sim',
          maxWorkers: 2,
          include: ['tests/simulation/**/*.test.ts'],
          testTimeout: 300_000,
        },
      },
      {
        resolve: { conditions: ['development', ...defaultClientConditions] },
        worker: { format: 'es' },
        test: {
          name: 'browser',
          include: ['packages/**/*.browser.test.ts', 'tests/browser/**/*.test.ts'],
          globalSetup: ['tests/browser/support/signalling.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          testTimeout: 30_000,
          fileParallelism: false,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                args: chromiumArgs,
                ...(chromium === null ? {} : { executablePath: chromium }),
              },
              contextOptions: { permissions: ['camera', 'microphone'] },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        resolve: { conditions: ['development', ...defaultClientConditions] },
        worker: { format: 'es' },
        // By the time a page asks for it, it would be found late and the page reloaded.
        optimizeDeps: { include: ['@shoal/sdk > webgpu-utils'] },
        test: {
          name: 'browser-gpu',
          include: ['tests/browser-gpu/**/*.test.ts'],
          testTimeout: 60_000,
          fileParallelism: false,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                // Software WebGPU, on every machine the same.
                args: [...chromiumArgs, '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
                ...(chromium === null ? {} : { executablePath: chromium }),
              },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        ...fromSources,
        test: {
          name: 'e2e',
          // Files wait for other processes most of their time, so that two at once go well everywhere.
          maxWorkers: 2,
          include: ['tests/e2e/**/*.test.ts', 'tests/contract/mesh-of-8.test.ts'],
          exclude: ['tests/e2e/start.test.ts'],
          globalSetup: ['tests/e2e/support/build.ts'],
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...fromSources,
        test: {
          name: 'start',
          // It builds the page anew: nobody else may read it meanwhile.
          sequence: { groupOrder: 1 },
          include: ['tests/e2e/start.test.ts'],
          testTimeout: 180_000,
        },
      },
    ],
  },
})
