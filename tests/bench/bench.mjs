// `npm run bench -- [ids] [--place local|page|node|rtc] [--pairs n] [--mib 1,16,64] [--quick] [--peers] [--json]`
// Bundles the sources as a user's bundler would, then measures in a process of its own.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '../..')
const out = join(root, 'tests/node_modules/.cache/bench')
const processors = join(root, 'packages/sdk/src/processors')

const shared = {
  bundle: true,
  format: 'esm',
  target: 'es2023',
  logLevel: 'error',
  sourcemap: 'inline',
}

mkdirSync(out, { recursive: true })
writeFileSync(join(out, 'package.json'), '{ "type": "module" }')
await Promise.all([
  build({
    ...shared,
    outdir: out,
    platform: 'node',
    conditions: ['development'],
    external: ['piscina', 'playwright', 'node-datachannel', 'msgpackr-extract'],
    // Packages in CommonJS ask for Node's own modules.
    banner: {
      js: "import { createRequire as benchRequire } from 'node:module'; const require = benchRequire(import.meta.url);",
    },
    entryPoints: {
      main: join(here, 'main.ts'),
      lender: join(here, 'lender.ts'),
      'chunk-lender': join(here, 'chunk-lender.ts'),
      'raw-worker.node': join(here, 'work/raw-worker.node.ts'),
      'comlink-worker.node': join(here, 'work/comlink-worker.node.ts'),
      'piscina-worker': join(here, 'work/piscina-worker.ts'),
      'worker-entry.node': join(processors, 'worker-entry.node.ts'),
    },
  }),
  build({
    ...shared,
    outdir: join(out, 'page'),
    platform: 'browser',
    conditions: ['development'],
    entryPoints: {
      page: join(here, 'page.ts'),
      'raw-worker.page': join(here, 'work/raw-worker.page.ts'),
      'comlink-worker.page': join(here, 'work/comlink-worker.page.ts'),
      'worker-entry.browser': join(processors, 'worker-entry.browser.ts'),
      'gpu-entry.browser': join(processors, 'webgpu/gpu-entry.browser.ts'),
    },
  }),
])

const profile = process.env.BENCH_NODE_OPTIONS?.split(' ') ?? []
const child = spawn(
  process.execPath,
  ['--expose-gc', '--enable-source-maps', ...profile, join(out, 'main.js'), ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
)
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => {
    child.kill(signal)
    // A browser that is being closed may keep it for ever.
    setTimeout(() => child.kill('SIGKILL'), 2000)
  })
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)))
