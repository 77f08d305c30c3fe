import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { hostRoom } from '@shoal/sdk/node'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { type Answer, joinForChunks, type RefText } from '../support/chunk-orders.ts'
import type { Selection } from './arguments.ts'
import { offerBare } from './bare.ts'
import { type ChunkOrder, nodeParts } from './chunk-lender.ts'
import { check, paired, type Row, rowsOf } from './stats.ts'
import { callTcp } from './tcp.ts'

/** Chunks that a second process holds, fetched by this one: stores and links alone, without tasks. */
export async function benchB5c(selection: Selection): Promise<Row[]> {
  const host = await hostRoom({ page: false })
  const child = fork(fileURLToPath(new URL('./chunk-lender.js', import.meta.url)), {
    execArgv: ['--expose-gc'],
  })
  const ask = asker(child)
  await once(child, 'message')
  const connection = new RTCPeerConnection({ iceServers: [] })
  const bare = await offerBare(connection as never)
  try {
    const { answer = '' } = await ask({ type: 'bare', offer: bare.offer })
    await bare.accept(answer)
    const tcp = await callTcp((await ask({ type: 'tcp' })).port ?? 0)
    const { peer: holder = '' } = await ask({ type: 'join', invite: host.memberInvite })
    const here = await joinBeside(host.memberInvite, holder)
    const rows: Row[] = []
    for (const mebibytes of selection.sizesMiB) {
      const sizeBytes = mebibytes * 2 ** 20
      const fetched = async (): Promise<number> => {
        const { ref } = await ask({ type: 'obey', order: { type: 'put', sizeBytes, seed: 1 } })
        const startedAt = performance.now()
        const { isSame } = await here.obey({
          type: 'fetch',
          ref: ref as RefText,
          holders: [holder],
          seed: null,
        })
        const seconds = (performance.now() - startedAt) / 1000
        check('The chunk', isSame, true)
        for (const drop of [here.obey, (order: never) => ask({ type: 'obey', order })]) {
          await drop({ type: 'drop', ref: ref as RefText } as never)
        }
        return sizeBytes / 1e6 / seconds
      }
      const samples = await paired(Math.min(9, selection.pairs), [
        { name: 'bare', once: () => bare.pull(sizeBytes) },
        { name: 'tcp', once: () => tcp.pull(sizeBytes) },
        { name: 'shoal', once: fetched },
      ])
      const label = { bench: 'B5c', place: 'node', unit: 'MB/s', metric: `${mebibytes} MiB chunk` }
      rows.push(...rowsOf(label, samples, ['bare', 'tcp']))
    }
    return rows
  } finally {
    bare.close()
    child.kill('SIGKILL')
    await host.close()
  }
}

async function joinBeside(invite: string, holder: string): ReturnType<typeof joinForChunks> {
  let met = (): void => {}
  const meeting = new Promise<void>((resolve) => {
    met = resolve
  })
  const here = await joinForChunks(
    nodeParts(invite, ({ event, peer }) => event === 'peer-joined' && peer === holder && met()),
  )
  await meeting
  return here
}

interface Reply extends Answer {
  readonly peer?: string
  readonly answer?: string
  readonly port?: number
  readonly failed?: string
}

function asker(child: ChildProcess): (order: ChunkOrder) => Promise<Reply> {
  return async (order) => {
    const answered = once(child, 'message')
    child.send(order)
    const [reply] = (await answered) as [Reply]
    if (reply.failed !== undefined) throw new Error(`The holder failed: ${reply.failed}`)
    return reply
  }
}
