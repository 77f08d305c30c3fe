import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { parseInvite } from '@shoal/mesh'
import { type Mesh, operation } from '@shoal/sdk'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { startNode } from '../support/program.ts'
import { useRoom } from './support/test-room.ts'

// TCP lines between real processes: this one submits, another one lends.

const { contributorInvite, member, node } = useRoom()
const sockets = new Set<Socket>()

beforeAll(() => {
  for (const name of ['net.client.socket', 'net.server.socket'])
    subscribe(name, (message) => sockets.add((message as { readonly socket: Socket }).socket))
})
beforeEach(() => sockets.clear())

/** This process's ends of lines. What else is open is signalling: one end of it is the room's port. */
function lines(): Socket[] {
  const port = Number(new URL(parseInvite(contributorInvite()).url).port)
  return [...sockets].filter((socket) => socket.localPort !== port && socket.remotePort !== port)
}

function readBytes(): number {
  return lines().reduce((sum, socket) => sum + socket.bytesRead, 0)
}

/** Cuts every line, as a firewall that forgot them would; gives how many there were. */
function cut(): number {
  const open = lines().filter((socket) => !socket.destroyed)
  for (const socket of open) socket.destroy()
  return open.length
}

async function pair(): Promise<Mesh> {
  const mesh = await member('submitter')
  await node('lender', 2)
  await expect.poll(() => mesh.processors.length, { timeout: 20_000 }).toBe(2)
  await hasLine()
  return mesh
}

async function hasLine(): Promise<void> {
  const isOpen = (): boolean => lines().some((socket) => !socket.destroyed && socket.bytesRead > 200)
  await expect.poll(isOpen, { timeout: 20_000, interval: 20 }).toBe(true)
}

const double = operation('double', (x: number) => x * 2)
const filled = operation('filled', (bytes: number, value: number) => new Uint8Array(bytes).fill(value))

test('[WP11] tasks go over a line, and cutting it in the middle, 3 times, loses none', async () => {
  const mesh = await pair()
  const count = 3_000
  let done = 0
  let cuts = 0
  const tasks = Array.from({ length: count }, (_, x) =>
    mesh.spawn(double, x).then((value) => {
      done++
      if (done % 750 === 0 && done < count) cuts += cut() > 0 ? 1 : 0
      return value
    }),
  )
  expect(await Promise.all(tasks)).toEqual(tasks.map((_, x) => x * 2))
  expect(cuts).toBeGreaterThan(0)
  expect(mesh.peers.length).toBe(2)
  // It comes back.
  await hasLine()
}, 60_000)

test('[WP10] a process that had lines ends by itself when it has left', async () => {
  const mesh = await member('stays')
  const script = `
    import { joinMesh } from '@shoal/sdk'
    const mesh = await joinMesh(process.argv[1], { workers: 0 })
    while (mesh.peers.length < 2) await new Promise((resolve) => mesh.on('peer-joined', resolve))
    for await (const _ of process.stdin) break
    await mesh.close()`
  const program = startNode(['--input-type=module', '-e', script, contributorInvite()])
  try {
    await expect.poll(() => mesh.peers.length, { timeout: 20_000 }).toBe(2)
    await hasLine()
    program.child.stdin?.end('leave')
    expect(await program.ended).toBe(0)
  } finally {
    await program.stop('SIGKILL')
  }
}, 60_000)

test('[WP10] a chunk goes over a line of its own, and goes on when that is cut', async () => {
  const mesh = await pair()
  const sizeBytes = 64 * 2 ** 20
  const before = readBytes()
  const made = mesh.spawn(filled, sizeBytes, 7)
  let cuts = 0
  const cutting = expect
    .poll(() => readBytes() - before, { timeout: 30_000, interval: 1 })
    .toBeGreaterThan(sizeBytes / 8)
    .then(() => {
      cuts = cut()
    })
  const bytes = await made
  await cutting
  expect([bytes.length, bytes[0], bytes[sizeBytes - 1]]).toEqual([sizeBytes, 7, 7])
  // Control and bulk.
  expect(cuts).toBe(2)
  expect(readBytes() - before).toBeGreaterThan(sizeBytes / 2)
}, 60_000)
