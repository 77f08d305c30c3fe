import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

// The tree is the architecture: imports point one way, and each library is known to one folder.

const root = fileURLToPath(new URL('..', import.meta.url))

/** What files below a folder may import; the most specific folder decides. `./` stands for the folder itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'packages/scheduler/src/': ['./'],
  'packages/scheduler/src/model/': ['./'],
  'packages/scheduler/src/policy/': ['./', 'packages/scheduler/src/model/'],
  'packages/scheduler/src/core/': ['./', 'packages/scheduler/src/model/', 'packages/scheduler/src/policy/'],
  'packages/scheduler/src/testing/': ['packages/scheduler/src/', 'vitest'],
  'packages/mesh/src/': ['./', '@shoal/scheduler', 'msgpackr', 'node:'],
  'packages/mesh/src/transport/': [
    'packages/mesh/src/',
    '@shoal/scheduler',
    'peerjs',
    'node-datachannel',
    'ws',
    'node:',
  ],
  'packages/mesh/src/membership/': [
    'packages/mesh/src/',
    '@shoal/scheduler',
    '@noble/curves',
    '@noble/hashes',
    'node:',
  ],
  'packages/mesh/src/signalling/': ['packages/mesh/src/', '@shoal/scheduler', 'peer', 'ws', 'node:'],
  'packages/mesh/src/replica/': ['packages/mesh/src/', '@shoal/scheduler', 'yjs', 'idb', 'msgpackr', 'node:'],
  'packages/mesh/src/chunks/': ['packages/mesh/src/', '@shoal/scheduler', 'idb', 'node:'],
  'packages/sdk/src/': ['./', '@shoal/scheduler', '@shoal/mesh', 'msgpackr', 'node:'],
  'packages/sdk/src/processors/': [
    'packages/sdk/src/',
    '@shoal/scheduler',
    '@shoal/mesh',
    'comlink',
    'webgpu-utils',
    'node:',
  ],
  'packages/sdk/src/cli/': ['packages/sdk/src/', '@shoal/scheduler', '@shoal/mesh', 'uqr', 'node:'],
  'apps/demo/src/': ['./', '@shoal/sdk', 'preact', 'uqr'],
}

/** Browser builds: nothing that they reach may need Node. */
const browserEntries = ['packages/mesh/src/browser.ts', 'packages/sdk/src/browser.ts']

/** Every product file with what it imports: paths from the root for own files, else the name as written. */
function readTree(withTypes: boolean): Map<string, readonly string[]> {
  const files = ['packages/scheduler/src', 'packages/mesh/src', 'packages/sdk/src', 'apps/demo/src']
    .flatMap((folder) => listFiles(join(root, folder)))
    .filter((file) => /\.tsx?$/.test(file) && !/\.(test|test-d)\.tsx?$/.test(file))
  return new Map(files.map((file) => [relative(root, file), importsOf(file, withTypes)]))
}

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function importsOf(file: string, withTypes: boolean): readonly string[] {
  const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const source = withTypes ? code : code.replace(/\b(import|export) type\b[^']*\bfrom\s*'[^']+'/g, '')
  const names = [...source.matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
    (match) => match[1] as string,
  )
  return names.map((name) => (name.startsWith('.') ? relative(root, join(dirname(file), name)) : name))
}

/** `null` when the import is allowed, else the broken rule in words. */
function breach(file: string, name: string): string | null {
  const folder = Object.keys(allowed)
    .filter((prefix) => file.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0]
  if (folder === undefined) return `${file} belongs to no layer`
  const rules = (allowed[folder] as readonly string[]).map((rule) => (rule === './' ? folder : rule))
  const isAllowed = rules.some((rule) =>
    rule.endsWith('/') || rule.endsWith(':') ? name.startsWith(rule) : `${name}/`.startsWith(`${rule}/`),
  )
  return isAllowed ? null : `${file} imports ${name}`
}

function reach(entry: string, tree: ReadonlyMap<string, readonly string[]>): Map<string, string> {
  const cameFrom = new Map([[entry, 'the entry']])
  for (const file of cameFrom.keys()) {
    for (const name of tree.get(file) ?? []) if (!cameFrom.has(name)) cameFrom.set(name, file)
  }
  return cameFrom
}

describe('layers', () => {
  const tree = readTree(true)

  test('every import points the allowed way', () => {
    const breaches = [...tree].flatMap(([file, names]) => names.map((name) => breach(file, name)))
    expect(breaches.filter((line) => line !== null)).toEqual([])
  })

  test('the rule sees a breach', () => {
    expect(
      breach('packages/scheduler/src/model/task.ts', 'packages/scheduler/src/core/step.ts'),
    ).not.toBeNull()
    expect(breach('packages/mesh/src/room.ts', '@shoal/sdk')).not.toBeNull()
    expect(breach('packages/sdk/src/mesh.ts', 'yjs')).not.toBeNull()
    expect(breach('apps/demo/src/main.tsx', '@shoal/mesh')).not.toBeNull()
    expect(breach('packages/mesh/src/replica/doc.ts', 'yjs')).toBeNull()
  })

  test.each(browserEntries)('%s reaches nothing that needs Node', (entry) => {
    const needsNode = /^(node:|node-datachannel|ws$|peer$)/
    expect(tree.has(entry)).toBe(true)
    const reached = reach(entry, readTree(false))
    const found = [...reached].filter(([name]) => needsNode.test(name))
    expect(found.map(([name, file]) => `${file} imports ${name}`)).toEqual([])
  })
})
