import { defaultClientConditions, defineConfig } from 'vite'

/** Everything is built from the sources; the page works from any folder of any host. */
export default defineConfig({
  base: './',
  resolve: { conditions: ['development', ...defaultClientConditions] },
  worker: { format: 'es' },
  build: { target: 'es2023', outDir: 'dist', emptyOutDir: true, manifest: true },
})
