import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A lending Node process of this benchmark. */
export interface Lender {
  readonly peer: string
  bare(offer: string): Promise<string>
  /** Listens for a TCP connection there; gives the port. */
  tcp(): Promise<number>
  /** Makes a counter there. */
  service(name: string, durability: string): Promise<void>
  /** As a power cut would: no goodbye. */
  kill(): Promise<void>
}

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

interface Reply {
  readonly type: string
  readonly peer?: string
  readonly answer?: string
  readonly port?: number
  readonly reason?: string
}

export async function startLender(invite: string, workers: number): Promise<Lender> {
  const child = fork(fileURLToPath(new URL('./lender.js', import.meta.url)), { execArgv: ['--expose-gc'] })
  children.add(child)
  const exited = once(child, 'exit').then(() => children.delete(child))
  const reply = async (): Promise<Reply> => {
    const [message] = (await once(child, 'message')) as [Reply]
    if (message.type === 'failed') throw new Error(`A lender failed: ${message.reason}`)
    return message
  }
  const ask = (order: object): Promise<Reply> => {
    const answered = reply()
    child.send(order)
    return answered
  }
  await reply()
  const { peer = '' } = await ask({ type: 'join', invite, workers })
  return {
    peer,
    tcp: async () => (await ask({ type: 'tcp' })).port ?? 0,
    bare: async (offer) => (await ask({ type: 'bare', offer })).answer ?? '',
    service: async (name, durability) => void (await ask({ type: 'service', name, durability })),
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}
