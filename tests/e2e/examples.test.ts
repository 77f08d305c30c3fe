import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright'
import { build, type PreviewServer, preview } from 'vite'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Program, startNode, startShoal } from '../support/program.ts'
import { launchBrowser, openPage } from './support/browser.ts'
import { contribute, joinRoom } from './support/demo-page.ts'

// The three ways to use Shoal, as the README shows them.

const examples = fileURLToPath(new URL('../../examples', import.meta.url))
const programs: Program[] = []
let browser: Browser

beforeAll(async () => {
  browser = await launchBrowser()
})
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()))
  await Promise.all(programs.splice(0).map((program) => program.stop('SIGKILL')))
})
afterAll(() => browser.close())

function started(program: Program): Program {
  programs.push(program)
  return program
}

async function openRoom(): Promise<{ memberInvite: string; contributorInvite: string }> {
  const up = started(startShoal(['up', '--host', '127.0.0.1', '--port', '0', '--workers', '0', '--json']))
  return JSON.parse(await up.line(/"event":"up"/))
}

async function lend(invite: string): Promise<void> {
  const lender = started(startShoal(['join', '--workers', '1', '--json'], { SHOAL_INVITE: invite }))
  await lender.line(/"event":"joined"/)
}

test('examples/page: a page lends its workers', async () => {
  const program = started(startNode([join(examples, 'page/main.mjs')]))
  const invite = (await program.line(/^Open this/)).split(': ')[1] as string
  const { page, errors } = await openPage(browser, invite)
  await joinRoom(page, 'phone')
  await contribute(page, 1)
  expect(await program.ended, program.errors).toBe(0)
  expect(program.lines).toContain('Computed in your browser: 1 4 9 16')
  expect(errors).toEqual([])
})

test('examples/web-page: a web page uses the room', async () => {
  const room = await openRoom()
  await lend(room.contributorInvite)
  const outDir = mkdtempSync(join(tmpdir(), 'shoal-example-'))
  const config = {
    root: join(examples, 'web-page'),
    logLevel: 'warn' as const,
    build: { outDir, emptyOutDir: true },
  }
  let server: PreviewServer | null = null
  try {
    await build(config)
    server = await preview({ ...config, preview: { host: '127.0.0.1', port: 0, strictPort: false } })
    const url = server.resolvedUrls?.local[0] as string
    const { page, errors } = await openPage(browser, `${url}#${room.memberInvite}`)
    await expect
      .poll(() => page.getByRole('status').textContent(), { timeout: 60_000 })
      .toBe('The room counted: 4 8 3 8')
    expect(errors).toEqual([])
  } finally {
    await server?.close()
    rmSync(outDir, { recursive: true, force: true })
  }
})

test('examples/node: a program runs unchanged alone and in a room', async () => {
  const script = join(examples, 'node/main.mjs')
  const alone = started(startNode([script]))
  expect(await alone.ended, alone.errors).toBe(0)
  expect(alone.lines).toEqual(['9592 primes below 100000'])

  const room = await openRoom()
  await lend(room.contributorInvite)
  const together = started(startNode([script, room.memberInvite]))
  expect(await together.ended, together.errors).toBe(0)
  expect(together.lines).toEqual(['9592 primes below 100000'])
})
