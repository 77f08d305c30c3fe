import { fileURLToPath } from 'node:url'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { MemoryOrder } from '../fixtures/memory-peer.ts'
import type { Memory } from '../fixtures/memory-watch.ts'
import { type Program, startNode, typescript } from '../support/program.ts'

// What a large value costs those who use the product as it is.

const script = fileURLToPath(new URL('../fixtures/memory-peer.ts', import.meta.url))
const mebibyte = 2 ** 20
const programs: Program[] = []
let host: RoomHost
beforeAll(async () => {
  host = await hostRoom({ page: false })
})
afterAll(async () => {
  await Promise.all(programs.map((program) => program.stop('SIGKILL')))
  await host.close()
})

async function started(workers: number) {
  const program = startNode([script, host.memberInvite, String(workers)], {}, ['--expose-gc', ...typescript])
  programs.push(program)
  const { peer } = JSON.parse(await program.line(/"joined"/)) as { readonly peer: string }
  let orders = 0
  return {
    peer,
    async say(order: MemoryOrder): Promise<unknown> {
      const no = ++orders
      program.child.stdin?.write(`${JSON.stringify({ no, order })}\n`)
      const answer = JSON.parse(await program.line(new RegExp(`"no":${no}\\b`))) as {
        readonly failed?: string
      }
      if (answer.failed !== undefined) throw new Error(answer.failed)
      return answer
    },
  }
}

test('[CH3] a 256 MiB value that was put here is read by a task there: with less than 64 MiB beside the chunk and the value', async () => {
  const [holder, consumer] = await Promise.all([started(0), started(1)])
  const read = { type: 'read', at: consumer.peer } as const
  // The link, the worker and the operation are there from now on.
  for (const size of [1, 256]) {
    await holder.say({ type: 'make', bytes: size * mebibyte })
    await holder.say({ type: 'put' })
    if (size === 1) await holder.say(read)
  }
  await Promise.all([holder.say({ type: 'watch' }), consumer.say({ type: 'watch' })])
  expect(await holder.say(read)).toMatchObject({ read: 256 * mebibyte })
  const [there, here] = (await Promise.all([
    holder.say({ type: 'memory' }),
    consumer.say({ type: 'memory' }),
  ])) as [Memory, Memory]
  expect(there.rssBytes / mebibyte).toBeLessThan(64)
  // Beside the chunk, and the value that the body was given.
  expect(here.rssBytes / mebibyte).toBeLessThan(256 + 256 + 64)
}, 120_000)
