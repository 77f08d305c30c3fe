import { joinMesh } from '../node.ts'
import type { Mesh } from '../types.ts'
import { type Command, inviteOf } from './command.ts'
import { gpuFlags, gpuWishOf, ownProcessors, settleGpu } from './gpu.ts'
import { labelOf, memberFlags, meshOptions } from './member.ts'
import { type Terminal, toJson, whenStopped } from './terminal.ts'

/** Joining that takes longer is worth a remark. */
const lateMs = 3_000

/** Lends this machine to a room until it is stopped. */
export const join: Command = {
  name: 'join',
  usage: '<invite> [flags]',
  summary: 'lends this machine to a room until Ctrl-C',
  flags: {
    'data-dir': {
      type: 'string',
      help: 'folder that keeps this peer, so that a restart goes on with its work',
    },
    ...memberFlags,
    ...gpuFlags,
  },
  async run(args, terminal) {
    const invite = inviteOf(args, join)
    const wish = gpuWishOf(args, join)
    const dataDir = args.text('data-dir')
    const storage = dataDir === undefined ? {} : { storage: dataDir }
    const late = setTimeout(
      () => terminal.note('! Waiting: the signalling server of the room does not answer'),
      lateMs,
    )
    const joining = joinMesh(invite, { ...meshOptions(args, wish), ...storage, signal: terminal.stop })
    const mesh = await joining.finally(() => clearTimeout(late))
    try {
      await settleGpu(mesh, wish, terminal)
      if (args.isJson) await reportJson(mesh, terminal)
      else await report(mesh, terminal)
      await whenStopped(terminal.stop)
    } finally {
      await mesh.close()
    }
    return 0
  },
}

async function report(mesh: Mesh, terminal: Terminal): Promise<void> {
  const own = ownProcessors(mesh)
  const workers = own.filter(({ kind }) => kind === 'worker').length
  const gpu = own.length > workers ? ' and a GPU' : ''
  const lent = `${workers} worker${workers === 1 ? '' : 's'}${gpu}`
  await terminal.print(`Joined as ${mesh.role}, lending ${lent}. Ctrl-C leaves.`)
  mesh.on('peer-joined', (peer) => terminal.note(`+ ${labelOf(peer)} joined (${peer.role})`))
  mesh.on('peer-left', (peer) => terminal.note(`- ${peer.id.slice(0, 8)} ${peer.cause}`))
  mesh.on('health', (health) => {
    for (const reason of health.reasons) terminal.note(`! ${reason}`)
  })
}

async function reportJson(mesh: Mesh, terminal: Terminal): Promise<void> {
  const processors = ownProcessors(mesh)
  await terminal.print(toJson({ event: 'joined', peer: mesh.self, role: mesh.role, processors }))
  mesh.on('peer-joined', (peer) => void terminal.print(toJson({ event: 'peer-joined', peer })))
  mesh.on('peer-left', (peer) => void terminal.print(toJson({ event: 'peer-left', peer })))
  mesh.on('health', (health) => void terminal.print(toJson({ event: 'health', health })))
}
