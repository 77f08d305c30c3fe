import { hostRoom } from '../host/host-room.ts'
import type { RoomHost } from '../host/types.ts'
import { joinMesh } from '../node.ts'
import type { Mesh } from '../types.ts'
import type { Arguments, Command } from './command.ts'
import { gpuFlags, gpuWishOf, settleGpu } from './gpu.ts'
import { labelOf, memberFlags, meshOptions } from './member.ts'
import { qrCode } from './qr.ts'
import { type Terminal, toJson, whenStopped } from './terminal.ts'

const defaultPort = 7420

/** Opens a room on this machine and joins it as its first peer. */
export const up: Command = {
  name: 'up',
  usage: '[flags]',
  summary: 'opens a room: signalling, the page, one peer; prints invites',
  flags: {
    host: {
      type: 'string',
      help: 'address to listen on (default 0.0.0.0; 127.0.0.1 keeps the room on this machine)',
    },
    port: { type: 'string', help: `port (default ${defaultPort}; 0 takes any free one)` },
    'data-dir': {
      type: 'string',
      help: 'folder that keeps the room and its work, so that both outlive a restart',
    },
    'no-page': { type: 'boolean', help: 'serve signalling only, not the page' },
    ...memberFlags,
    ...gpuFlags,
  },
  async run(args, terminal) {
    const dataDir = args.text('data-dir')
    const wish = gpuWishOf(args, up)
    const host = await hostRoom({
      host: args.text('host') ?? '0.0.0.0',
      port: args.integer('port', 0, 65_535) ?? defaultPort,
      page: !args.has('no-page'),
      ...(dataDir === undefined ? {} : { dataDir }),
    })
    try {
      const storage = dataDir === undefined ? {} : { storage: dataDir }
      const options = { ...meshOptions(args, wish), ...storage, signal: terminal.stop }
      const mesh = await joinMesh(host.memberInvite, options)
      try {
        await settleGpu(mesh, wish, terminal)
        await announce(host, mesh, args, terminal)
        await whenStopped(terminal.stop)
      } finally {
        await mesh.close()
      }
    } finally {
      await host.close()
    }
    return 0
  },
}

async function announce(host: RoomHost, mesh: Mesh, args: Arguments, terminal: Terminal): Promise<void> {
  if (args.isJson) {
    const { url, port, memberInvite, contributorInvite } = host
    await terminal.print(toJson({ event: 'up', url, port, memberInvite, contributorInvite, peer: mesh.self }))
    return
  }
  const lines = [
    'The room is open.',
    '',
    `  Use it and lend:  ${host.memberInvite}`,
    `  Only lend:        ${host.contributorInvite}`,
    `  Without a screen: npx shoal join '${host.contributorInvite}'`,
    '',
    qrCode(host.contributorInvite),
    'Scan it to lend a phone. Keep the links private: they are the keys. Ctrl-C closes the room.',
  ]
  await terminal.print(lines.join('\n'))
  mesh.on('peer-joined', (peer) => terminal.note(`+ ${labelOf(peer)} joined (${peer.role})`))
  mesh.on('peer-left', (peer) => terminal.note(`- ${peer.id.slice(0, 8)} ${peer.cause}`))
}
