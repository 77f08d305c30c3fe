import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'

interface Chunk {
  readonly file: string
  readonly isEntry?: boolean
  readonly imports?: readonly string[]
  readonly dynamicImports?: readonly string[]
  readonly css?: readonly string[]
}

const dist = fileURLToPath(new URL('../../apps/demo/dist/', import.meta.url))
/** Bytes before lazy parts: what a phone must load before the page does anything. */
const pageBytesMax = 100_000
/** Bytes with everything that joining a room loads on top. */
const roomBytesMax = 240_000

test('the page is below 100 kB compressed before lazy parts', () => {
  const files = filesOf((chunk) => chunk.imports ?? [])
  expect(files.length, 'html, script and style at least').toBeGreaterThanOrEqual(3)
  expect(compressedBytes(files), files.join(' ')).toBeLessThan(pageBytesMax)
})

test('the page in a room is below 240 kB compressed', () => {
  const files = filesOf((chunk) => [...(chunk.imports ?? []), ...(chunk.dynamicImports ?? [])])
  expect(files.length, 'more than before the room').toBeGreaterThan(
    filesOf((chunk) => chunk.imports ?? []).length,
  )
  expect(compressedBytes(files), files.join(' ')).toBeLessThan(roomBytesMax)
})

/** The page's files, from the entry along the imports that `next` names. */
function filesOf(next: (chunk: Chunk) => readonly string[]): string[] {
  const manifest = JSON.parse(readFileSync(`${dist}.vite/manifest.json`, 'utf8')) as Record<string, Chunk>
  const files = new Set(['index.html'])
  const add = (chunk: Chunk | undefined): void => {
    if (chunk === undefined || files.has(chunk.file)) return
    for (const file of [chunk.file, ...(chunk.css ?? [])]) files.add(file)
    for (const name of next(chunk)) add(manifest[name])
  }
  for (const chunk of Object.values(manifest)) if (chunk.isEntry === true) add(chunk)
  return [...files]
}

function compressedBytes(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + gzipSync(readFileSync(dist + file)).length, 0)
}
