import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Bundle, buildBundle } from '../../packages/sdk/scripts/bundle.mjs'
import { type Program, startNode, startShoal } from '../support/program.ts'
import { launchBrowser, openPage } from './support/browser.ts'
import { type FileServer, serveFiles } from './support/serve-files.ts'

// The SDK as one file: in a page without a bundler, and under a strict Content-Security-Policy.

const examples = fileURLToPath(new URL('../../examples', import.meta.url))
const closers: (() => Promise<unknown>)[] = []
/** Bytes of the one file, compressed. */
const bundleBytesMax = 260_000
let browser: Browser
let bundle: Bundle

beforeAll(async () => {
  bundle = await buildBundle()
  browser = await launchBrowser()
})
afterEach(async () => {
  await Promise.all(browser.contexts().map((context) => context.close()))
  await Promise.all(closers.splice(0).map((close) => close()))
})
afterAll(() => browser.close())

function started(program: Program): Program {
  closers.push(() => program.stop('SIGKILL'))
  return program
}

async function openRoom(): Promise<{ memberInvite: string; room: string }> {
  const up = started(startShoal(['up', '--host', '127.0.0.1', '--port', '0', '--workers', '0', '--json']))
  const { memberInvite }: { memberInvite: string } = JSON.parse(await up.line(/"event":"up"/))
  return { memberInvite, room: new URL(memberInvite).origin }
}

async function serve(example: string, policy: string | null): Promise<FileServer> {
  const files = {
    '/': join(examples, example, 'index.html'),
    '/main.js': join(examples, example, 'main.js'),
    '/shoal.browser.js': bundle.file,
  }
  const server = await serveFiles(files, policy === null ? {} : { 'content-security-policy': policy })
  closers.push(() => server.close())
  return server
}

async function result(page: Page): Promise<string> {
  await expect
    .poll(() => page.getByRole('status').textContent(), { timeout: 30_000 })
    .not.toBe('Computing ...')
  return (await page.getByRole('status').textContent()) ?? ''
}

test('the one file is below 260 kB compressed', () => {
  expect(bundle.gzipBytes).toBeLessThan(bundleBytesMax)
})

test('examples/plain-page: a page without a bundler computes alone', async () => {
  const server = await serve('plain-page', null)
  const { page, errors } = await openPage(browser, server.url)
  expect(await result(page)).toBe('This page computed: 1 4 9 16')
  expect(errors).toEqual([])
})

test('examples/plain-page: a page without a bundler uses a room', async () => {
  const { memberInvite } = await openRoom()
  const server = await serve('plain-page', null)
  const { page, errors } = await openPage(browser, `${server.url}#${memberInvite}`)
  expect(await result(page)).toBe('The room computed: 1 4 9 16')
  expect(errors).toEqual([])
})

test('examples/strict-csp: a page computes on its workers under a strict policy', async () => {
  const server = started(startNode([join(examples, 'strict-csp/server.mjs')]))
  const { page, errors } = await openPage(browser, await server.line(/^http/))
  expect(await result(page)).toBe('This page computed: 1 4 9 16')
  expect(errors).toEqual([])
})

test('examples/strict-csp: a page lends its workers to a room under a strict policy', async () => {
  const { memberInvite, room } = await openRoom()
  const server = started(startNode([join(examples, 'strict-csp/server.mjs'), room]))
  const { page, errors } = await openPage(browser, `${await server.line(/^http/)}#${memberInvite}`)
  // Nobody else lends here: what is computed was computed by the page's own workers.
  expect(await result(page)).toBe('The room computed: 1 4 9 16')
  expect(errors).toEqual([])
})

test('a policy that blocks workers fails the tasks, and is named', async () => {
  const server = await serve('strict-csp', "default-src 'none'; script-src 'self' blob:; worker-src 'self'")
  const { page } = await openPage(browser, server.url)
  expect(await result(page)).toMatch(/^E_WORKER: .*Content-Security-Policy.*worker-src/)
})

test('a policy that blocks the code of operations fails the tasks', async () => {
  const server = await serve('strict-csp', "default-src 'none'; script-src 'self'; worker-src 'self' blob:")
  const { page } = await openPage(browser, server.url)
  expect(await result(page)).toMatch(/^E_CODE: .*Content-Security-Policy.*script-src/)
})
