import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'

interface Chunk {
  readonly file: string
  readonly isEntry?: boolean
  readonly imports?: readonly string[]
  readonly css?: readonly string[]
}

const dist = fileURLToPath(new URL('../../apps/demo/dist/', import.meta.url))
/** Bytes before lazy parts: what a phone must load before the page does anything. */
const pageBytesMax = 100_000

test('the page is below 100 kB compressed before lazy parts', () => {
  const manifest = JSON.parse(readFileSync(`${dist}.vite/manifest.json`, 'utf8')) as Record<string, Chunk>
  const files = new Set(['index.html'])
  const add = (chunk: Chunk | undefined): void => {
    if (chunk === undefined || files.has(chunk.file)) return
    for (const file of [chunk.file, ...(chunk.css ?? [])]) files.add(file)
    for (const name of chunk.imports ?? []) add(manifest[name])
  }
  for (const chunk of Object.values(manifest)) if (chunk.isEntry === true) add(chunk)
  expect(files.size, 'html, script and style at least').toBeGreaterThanOrEqual(3)
  const sizes = [...files].map((file) => ({ file, bytes: gzipSync(readFileSync(dist + file)).length }))
  const bytes = sizes.reduce((sum, size) => sum + size.bytes, 0)
  expect(bytes, JSON.stringify(sizes)).toBeLessThan(pageBytesMax)
})
