import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

// What the documents say is so: snippets are lines of the examples, links lead somewhere, every code is listed.

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const documents = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

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

test('docs/ERRORS.md lists every code that the packages raise', () => {
  const files = ['scheduler', 'mesh', 'sdk'].flatMap((name) => {
    const folder = join(root, 'packages', name, 'src')
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file))
  })
  const sources = files.filter((file) => /\.tsx?$/.test(file) && !/\.test\.ts$|\/testing\//.test(file))
  const raised = new Set(
    sources.flatMap((file) => readFileSync(file, 'utf8').match(/(?<=')E_[A-Z_]+(?=')/g) ?? []),
  )
  const listed = readFileSync(join(root, 'docs/ERRORS.md'), 'utf8')
  expect(raised.size).toBeGreaterThan(20)
  expect([...raised].filter((code) => !listed.includes(`\`${code}\``))).toEqual([])
})
