import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  base: './',
  // In this repository the SDK is used from its sources; your project needs no configuration.
  resolve: { conditions: ['development', ...defaultClientConditions] },
  worker: { format: 'es' },
})
