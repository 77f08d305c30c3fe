import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

// What the README shows is what the examples run, and its links lead somewhere.

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const documents = ['README.md', 'CONTRIBUTING.md', 'docs/API.md']

const shown = [...readme.matchAll(/\]\((examples\/[\w./-]+)\)[^`]*```js\n([\s\S]*?)```/g)].map(
  (match) => [match[1] as string, match[2] as string] as const,
)

test('the README shows the three ways', () => {
  expect(shown.map(([file]) => file)).toEqual([
    'examples/page/main.mjs',
    'examples/web-page/main.js',
    'examples/node/main.mjs',
  ])
})

test.each(shown)('every line that the README shows of %s is in it', (file, snippet) => {
  const lines = new Set(
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .map((line) => line.trim()),
  )
  const missing = snippet.split('\n').filter((line) => line !== '' && !lines.has(line.trim()))
  expect(missing).toEqual([])
})

test.each(documents)('the links of %s lead to files', (document) => {
  const text = readFileSync(join(root, document), 'utf8')
  const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1] as string)
  const missing = targets.filter((target) => !existsSync(join(root, document, '..', target)))
  expect(missing).toEqual([])
})
