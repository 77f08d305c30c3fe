// What `npm start` and `npm test` share: plain Node, no dependency, so that it works in a fresh clone.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder. */
export const root = fileURLToPath(new URL('..', import.meta.url))

const pnpm = 'pnpm@12.21.0'

/**
 * Runs a program in the repository's root.
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string>, isQuiet?: boolean }} [options] quiet: output is kept, not shown
 * @returns {Promise<{ code: number, output: string }>} code 1 when it could not start or a signal ended it
 */
export function run(file, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', options.isQuiet ? 'pipe' : 'inherit', options.isQuiet ? 'pipe' : 'inherit'],
    })
    let output = ''
    const keep = (data) => {
      output += data
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    child.on('error', (error) => resolve({ code: 1, output: `${output}${error.message}` }))
    child.on('close', (code) => resolve({ code: code ?? 1, output }))
  })
}

/** Runs the command line program of an installed package, for example `runTool('vite', ['build'])`. */
export function runTool(name, args, options = {}) {
  return run(process.execPath, [toolPath(name), ...args], options)
}

/** Path of the script behind an installed package's command. */
export function toolPath(name) {
  const names = { biome: '@biomejs/biome', tsc: 'typescript' }
  const folder = join(root, 'node_modules', names[name] ?? name)
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return join(folder, typeof bin === 'string' ? bin : bin[name])
}

/** Installs the packages unless what is installed is exactly what the lockfile says. */
export async function ensurePackages() {
  if (arePackagesCurrent()) return
  console.log(`Installing packages (npx ${pnpm}) ...`)
  const npx = process.platform === 'win32' ? 'npx.cmd' : 'npx'
  const { code } = await run(npx, ['-y', pnpm, 'install', '--frozen-lockfile', '--prefer-offline'], {
    env: { CI: 'true' },
  })
  if (code !== 0) throw new Error('Cannot install the packages: see the lines above')
}

function arePackagesCurrent() {
  // pnpm leaves a copy of the lockfile that it installed from.
  const installed = join(root, 'node_modules/.pnpm/lock.yaml')
  if (!existsSync(installed)) return false
  const hasFolders = ['packages/mesh', 'packages/sdk', 'apps/demo', 'tests'].every((folder) =>
    existsSync(join(root, folder, 'node_modules')),
  )
  return hasFolders && readFileSync(installed, 'utf8') === readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')
}

/** Path of a Chromium that is on this machine, or `null`. */
export function findChromium() {
  const named = process.env.CHROMIUM_PATH
  if (named !== undefined && existsSync(named)) return named
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const folders = ['/usr/bin', '/usr/local/bin', '/snap/bin']
  const installed = folders.flatMap((folder) => names.map((name) => join(folder, name)))
  const mac = ['Google Chrome', 'Chromium'].map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`)
  return [...installed, ...mac, ...playwrightBrowsers()].find((path) => existsSync(path)) ?? null
}

function playwrightBrowsers() {
  const caches = [
    process.env.PLAYWRIGHT_BROWSERS_PATH,
    join(homedir(), '.cache/ms-playwright'),
    join(homedir(), 'Library/Caches/ms-playwright'),
  ].filter((folder) => folder !== undefined && existsSync(folder))
  const inside = [
    'chrome-linux/chrome',
    'chrome-linux64/chrome',
    'chrome-mac/Chromium.app/Contents/MacOS/Chromium',
  ]
  return caches.flatMap((cache) =>
    readdirSync(cache)
      .filter((name) => /^chromium-\d+$/.test(name))
      .sort()
      .reverse()
      .flatMap((name) => inside.map((path) => join(cache, name, path))),
  )
}

/** Finds a Chromium, or installs one: Debian's package when root, else Playwright's own download. */
export async function ensureChromium() {
  const found = findChromium()
  if (found !== null) return found
  const isRoot = process.getuid?.() === 0
  if (isRoot && spawnSync('apt-get', ['--version']).status === 0) {
    console.log('Installing Chromium (apt-get install chromium) ...')
    const env = { DEBIAN_FRONTEND: 'noninteractive' }
    await run('apt-get', ['update', '-qq'], { env })
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], { env })
  }
  if (findChromium() === null) {
    console.log('Installing Chromium (playwright install chromium) ...')
    await runTool('playwright', ['install', 'chromium'])
  }
  const installed = findChromium()
  if (installed === null) {
    throw new Error('Cannot find or install a Chromium: install one and set CHROMIUM_PATH to it')
  }
  return installed
}
