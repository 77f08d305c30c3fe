// The SDK as one file for pages without a bundler: `node packages/sdk/scripts/bundle.mjs [file]`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const source = (path) => fileURLToPath(new URL(`../src/${path}`, import.meta.url))

/** Where the file goes unless told otherwise, and where the export `@shoal/sdk/bundle` looks for it. */
export const bundleFile = fileURLToPath(new URL('../dist/shoal.browser.js', import.meta.url))

const workerForm = /new URL\('\.\/worker-entry\.browser\.js', import\.meta\.url\)/

/** The script that drives a GPU: many pages never load it. It lies beside the bundle, or there is no GPU. */
const gpuFile = 'shoal.gpu.js'
const gpuForm = "new URL('./gpu-entry.browser.js', import.meta.url)"

/**
 * Builds the browser's SDK as one ES module, with the script of its workers inside, and beside it the script
 * that drives a GPU.
 * @param {string} [file] default: {@link bundleFile}
 * @returns {Promise<{ file: string, bytes: number, gzipBytes: number }>}
 */
export async function buildBundle(file = bundleFile) {
  const worker = await bundled(source('processors/worker-entry.browser.ts'), [])
  const text = await bundled(source('browser.ts'), [inlineWorker(worker), nameGpuFile])
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(
    join(dirname(file), gpuFile),
    await bundled(source('processors/webgpu/gpu-entry.browser.ts'), []),
  )
  writeFileSync(file, text)
  return { file, bytes: Buffer.byteLength(text), gzipBytes: gzipSync(text).length }
}

async function bundled(entry, plugins) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['development', 'browser'],
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'error',
    plugins,
  })
  return outputFiles[0].text
}

/** Puts the worker's script in place of its address: a page starts it from memory. */
function inlineWorker(text) {
  return {
    name: 'inline worker',
    setup({ onLoad }) {
      onLoad({ filter: /[\\/]worker\.browser\.ts$/ }, ({ path }) => {
        const before = readFileSync(path, 'utf8')
        if (!workerForm.test(before)) throw new Error(`Cannot inline the worker: ${path} has another form`)
        // One address for all workers of the page, made when the first one starts.
        const lines = [
          `const workerText = ${JSON.stringify(text)}`,
          'let workerUrl: string | null = null',
          'function inlineWorkerUrl(): string {',
          "  workerUrl ??= URL.createObjectURL(new Blob([workerText], { type: 'text/javascript' }))",
          '  return workerUrl',
          '}',
        ]
        const after = before.replace(workerForm, 'inlineWorkerUrl()')
        return { contents: `${after}\n${lines.join('\n')}\n`, loader: 'ts' }
      })
    },
  }
}

const nameGpuFile = {
  name: 'name the GPU file',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]gpu\.browser\.ts$/ }, ({ path }) => {
      const before = readFileSync(path, 'utf8')
      if (!before.includes(gpuForm)) throw new Error(`Cannot name the GPU file: ${path} has another form`)
      return { contents: before.replace(gpuForm, `new URL('./${gpuFile}', import.meta.url)`), loader: 'ts' }
    })
  },
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { file, bytes, gzipBytes } = await buildBundle(process.argv[2])
  console.log(`${file}: ${(bytes / 1000).toFixed(1)} kB, ${(gzipBytes / 1000).toFixed(1)} kB gzip`)
}
