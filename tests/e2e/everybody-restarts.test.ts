import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Program, startNode, typescript } from '../support/program.ts'

// Everybody who holds the room's state dies without a word, and comes back with what is on the disks.

const fixture = fileURLToPath(new URL('../fixtures/restart-peer.ts', import.meta.url))
const tasks = 60
const root = mkdtempSync(join(tmpdir(), 'shoal-restarts-'))
const running = new Set<Program>()
let host: RoomHost

beforeAll(async () => {
  host = await hostRoom({ page: false })
})
afterEach(() => Promise.all([...running].map((program) => program.stop('SIGKILL'))))
afterAll(async () => {
  await host.close()
  rmSync(root, { recursive: true, force: true })
})

interface Outcome {
  readonly event: 'outcome'
  readonly job: string
  readonly index: number
  readonly value: readonly [index: number, random: number]
}

/** One of the peers over all of its starts. */
interface Peer {
  /** Starts, or starts again; resolves when it has joined. */
  start(): Promise<{ readonly peer: string; readonly epoch: number; readonly durability: string }>
  /** Submits a job; resolves with its id when it is on the disk. */
  submit(): Promise<string>
  /** Resolves when this start has told that many outcomes of the job. */
  seen(job: string, count: number): Promise<void>
  ended(job: string): Promise<void>
  kill(): Promise<void>
  /** Outcomes that all starts told. */
  outcomes(): readonly Outcome[]
  readonly hasEnded: (job: string) => boolean
}

function createPeer(room: string, name: string): Peer {
  const programs: Program[] = []
  const current = (): Program => programs.at(-1) as Program
  const parse = (line: string): never => JSON.parse(line) as never
  return {
    async start() {
      const program = startNode([fixture, host.memberInvite, join(root, room, name), name], {}, typescript)
      programs.push(program)
      running.add(program)
      return parse(await program.line(/"joined"/))
    },
    async submit() {
      const program = current()
      program.child.stdin?.write(`${tasks}\n`)
      return (parse(await program.line(/"submitted"/)) as { job: string }).job
    },
    async seen(job, count) {
      const program = current()
      // Lines are told one by one: the last one that is needed is the `count`th that matches.
      const isIt = (line: string): boolean => line.includes('"outcome"') && line.includes(job)
      const enough = { test: () => program.lines.filter(isIt).length >= count } as unknown as RegExp
      await program.line(enough)
    },
    async ended(job) {
      await current().line(new RegExp(`"ended","job":"${job}","total":${tasks}`))
    },
    async kill() {
      const program = current()
      await program.stop('SIGKILL')
      running.delete(program)
    },
    outcomes: () =>
      programs.flatMap(({ lines }) => lines.filter((line) => line.includes('"outcome"')).map(parse)),
    hasEnded: (job) =>
      programs.some(({ lines }) => lines.some((line) => line.includes('"ended"') && line.includes(job))),
  }
}

/** Every task ended well, once, and nobody was ever told anything else. */
function checkOutcomes(peers: readonly Peer[], jobs: readonly string[]): void {
  const told = new Map<string, Outcome['value']>()
  for (const { job, index, value } of peers.flatMap((peer) => peer.outcomes())) {
    expect(value[0], `task ${job}/${index}`).toBe(index)
    expect(told.get(`${job}/${index}`) ?? value, `task ${job}/${index}`).toEqual(value)
    told.set(`${job}/${index}`, value)
  }
  expect(told.size).toBe(jobs.length * tasks)
}

test('[DU6] all peers die at once in the middle of their jobs, and go on when they are back', async () => {
  const peers = ['a', 'b', 'c'].map((name) => createPeer('at-once', name))
  const before = await Promise.all(peers.map((peer) => peer.start()))
  expect(before.map(({ epoch, durability }) => [epoch, durability])).toEqual(Array(3).fill([1, 'disk']))
  const jobs = await Promise.all(peers.map((peer) => peer.submit()))
  await Promise.all(peers.map((peer, at) => peer.seen(jobs[at] as string, 10)))
  await Promise.all(peers.map((peer) => peer.kill()))
  for (const job of jobs) expect(peers.some((peer) => peer.hasEnded(job))).toBe(false)
  const after = await Promise.all(peers.map((peer) => peer.start()))
  expect(after.map(({ peer, epoch }) => [peer, epoch])).toEqual(before.map(({ peer }) => [peer, 2]))
  for (const job of jobs) await Promise.all(peers.map((peer) => peer.ended(job)))
  checkOutcomes(peers, jobs)
})

test('[DU6] all peers die one after the other, each in the middle of its job', async () => {
  const peers = ['a', 'b', 'c'].map((name) => createPeer('in-turn', name))
  const before = await Promise.all(peers.map((peer) => peer.start()))
  const jobs: string[] = []
  for (const [at, peer] of peers.entries()) {
    const job = await peer.submit()
    jobs.push(job)
    await peer.seen(job, 10)
    await peer.kill()
    expect(peer.hasEnded(job)).toBe(false)
    expect(await peer.start()).toMatchObject({ peer: before[at]?.peer, epoch: 2 })
  }
  for (const job of jobs) await Promise.all(peers.map((peer) => peer.ended(job)))
  checkOutcomes(peers, jobs)
})
