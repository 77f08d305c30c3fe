import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, test } from 'vitest'
import { toolPath } from '../scripts/setup.mjs'

// A change of a public type shows in review. Update: npx vitest run --project unit tests/api.test.ts -u

const root = fileURLToPath(new URL('..', import.meta.url))
const packages = ['scheduler', 'mesh', 'sdk']

/** The declarations that the entry exports, file by file, without comments. */
function publicTypes(dist: string, entry: string): string {
  const found = new Map<string, string>()
  const visit = (file: string): void => {
    if (found.has(file) || !existsSync(file)) return
    const text = readFileSync(file, 'utf8')
    found.set(file, text)
    for (const match of text.matchAll(/^export[^;]*? from '(\.[^']+)'/gm)) {
      visit(join(dirname(file), (match[1] as string).replace(/\.(js|ts)$/, '.d.ts')))
    }
  }
  visit(join(dist, entry))
  return [...found]
    .map(([file, text]) => `// ${relative(dist, file)}\n${withoutComments(text)}`)
    .join('\n\n')
    .concat('\n')
}

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
    .replace(/\n\s*\n/g, '\n')
    .trim()
}

/** The entry files that package.json offers, as declaration files in dist. */
function entriesOf(name: string): string[] {
  const { exports } = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'))
  const files = [...JSON.stringify(exports).matchAll(/"\.\/dist\/([\w./-]+\.d\.ts)"/g)]
  return [...new Set(files.map((match) => match[1] as string))].sort()
}

beforeAll(() => {
  try {
    execFileSync(process.execPath, [toolPath('tsc'), '-b', 'packages/sdk'], { cwd: root, stdio: 'pipe' })
  } catch {
    // Type errors have a check of their own; the declarations are written all the same.
  }
}, 120_000)

test.each(packages.flatMap((name) => entriesOf(name).map((entry) => [name, entry] as const)))(
  'the public types of @shoal/%s %s are the reviewed ones',
  async (name, entry) => {
    const dist = join(root, 'packages', name, 'dist')
    expect(existsSync(join(dist, entry)), `${entry} was compiled`).toBe(true)
    const file = `./api/${name}.${entry.replaceAll('/', '-').replace('.d.ts', '')}.txt`
    await expect(publicTypes(dist, entry)).toMatchFileSnapshot(file)
  },
)
