import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { SignallingServer } from '@shoal/mesh/node'
import { startSignalling } from '@shoal/mesh/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { typescript } from '../support/program.ts'

const PEERS = 8
const ROUNDS = 10

interface Told {
  readonly type: 'ready' | 'full' | 'left' | 'failed'
  readonly links?: number
  readonly reason?: string
}

const children: ChildProcess[] = []
let server: SignallingServer

beforeAll(async () => {
  server = await startSignalling()
  const program = fileURLToPath(new URL('../fixtures/mesh-peer.ts', import.meta.url))
  for (let no = 0; no < PEERS; no += 1) {
    children.push(fork(program, { execArgv: [...typescript] }))
  }
  await Promise.all(children.map((child) => told(child, 'ready')))
}, 60_000)

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await server.close()
})

/** The candidates' order is all that keeps Node's WebRTC from losing links in a simultaneous start. */
test(`${PEERS} processes link up with each other, ${ROUNDS} times out of ${ROUNDS}`, async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const full = children.map((child) => told(child, 'full'))
    for (const child of children) {
      const { host, port } = server
      child.send({ type: 'mesh', room: `round-${round}`, host, port, links: PEERS - 1 })
    }
    const links = (await Promise.all(full)).reduce((sum, message) => sum + (message.links ?? 0), 0)
    expect(links / 2, `links in round ${round}`).toBe((PEERS * (PEERS - 1)) / 2)
    const left = children.map((child) => told(child, 'left'))
    for (const child of children) child.send({ type: 'leave' })
    await Promise.all(left)
  }
}, 120_000)

function told(child: ChildProcess, type: Told['type']): Promise<Told> {
  return new Promise((resolve, reject) => {
    const listen = (message: Told): void => {
      if (message.type !== type && message.type !== 'failed') return
      child.off('message', listen)
      child.off('exit', exited)
      if (message.type === type) resolve(message)
      else reject(new Error(`A peer of the mesh failed: ${message.reason}`))
    }
    const exited = (code: number | null): void =>
      reject(new Error(`A peer of the mesh ended with code ${code}`))
    child.on('message', listen)
    child.on('exit', exited)
  })
}
