import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { isSignature } from './crypto.ts'
import { takeFileIdentity } from './identity.node.ts'

const root = mkdtempSync(join(tmpdir(), 'shoal-identity-'))
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(root, 'test-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('[DU4] each start has the same identity at a higher epoch', async () => {
  const first = await takeFileIdentity(directory)
  expect(first.epoch).toBe(1)
  await first.release()
  const second = await takeFileIdentity(directory)
  expect(second.epoch).toBe(2)
  expect(second.identity.peer).toBe(first.identity.peer)
  const message = Uint8Array.of(1, 2, 3)
  expect(await isSignature(first.identity.publicKey, await second.identity.sign(message), message)).toBe(true)
  // It rose while the peer ran: the next start is above that, too.
  second.saveEpoch(7)
  second.saveEpoch(5)
  await second.release()
  const third = await takeFileIdentity(directory)
  expect(third.epoch).toBe(8)
  await third.release()
  expect(statSync(join(third.directory, 'peer.json')).mode & 0o777).toBe(0o600)
  expect(readdirSync(third.directory)).toEqual(['peer.json'])
})

test('[DU5] peers that run at the same time have identities of their own', async () => {
  const first = await takeFileIdentity(directory)
  const second = await takeFileIdentity(directory)
  expect(second.identity.peer).not.toBe(first.identity.peer)
  await first.release()
  const again = await takeFileIdentity(directory)
  expect(again.identity.peer).toBe(first.identity.peer)
  expect(again.epoch).toBe(2)
  await Promise.all([second.release(), again.release()])
})

test('[DU5] a killed process holds nothing, a living one does', async () => {
  const module = fileURLToPath(new URL('identity.node.ts', import.meta.url))
  const source = `import(${JSON.stringify(module)})
    .then(({ takeFileIdentity }) => takeFileIdentity(${JSON.stringify(directory)}))
    .then(({ identity }) => console.log(identity.peer))
  setInterval(() => {}, 1000)`
  const flags = ['--import', 'tsx', '--conditions=development', '-e', source]
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const theirs = line.toString().trim()
    const beside = await takeFileIdentity(directory)
    expect(beside.identity.peer).not.toBe(theirs)
    await beside.release()
    child.kill('SIGKILL')
    await exited
    const after = await takeFileIdentity(directory)
    expect([after.identity.peer, after.epoch]).toEqual([theirs, 2])
    await after.release()
  } finally {
    child.kill('SIGKILL')
    await exited
  }
})

test('a lock of a process id that is used again holds nothing', async () => {
  const first = await takeFileIdentity(directory)
  const lock = join(first.directory, 'lock')
  const held = readFileSync(lock, 'utf8')
  const [pid, start] = held.split(' ')
  if (start === '') return // Not known on this system.
  writeFileSync(lock, `${pid} 1 older`)
  const second = await takeFileIdentity(directory)
  expect(second.identity.peer).toBe(first.identity.peer)
  // What the first one lets go is not the second one's.
  await first.release()
  expect(readFileSync(lock, 'utf8')).not.toBe(held)
  await second.release()
})

test('a damaged file gives a new identity, for its epoch is lost', async () => {
  const first = await takeFileIdentity(directory)
  await first.release()
  const path = join(first.directory, 'peer.json')
  for (const text of ['', '{', '{"seed":"AAAA","epoch":3}', readFileSync(path, 'utf8').replace('1', '"x"')]) {
    writeFileSync(path, text)
    const next = await takeFileIdentity(directory)
    expect(next.identity.peer).not.toBe(first.identity.peer)
    expect(next.epoch).toBe(1)
    expect(readFileSync(`${path}.damaged`, 'utf8')).toBe(text)
    await next.release()
  }
})
