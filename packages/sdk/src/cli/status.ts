import type { Mesh } from '../types.ts'
import { type Command, inviteOf } from './command.ts'
import { describeProcessors } from './gpu.ts'
import { joinSoon, labelOf } from './member.ts'
import { whenSettled } from './settled.ts'
import { toJson } from './terminal.ts'

/** Says who is in a room and what runs there. */
export const status: Command = {
  name: 'status',
  usage: '<invite> [flags]',
  summary: 'says who is in a room, and which jobs it has',
  flags: {},
  async run(args, terminal) {
    const invite = inviteOf(args, status)
    const mesh = await joinSoon(invite, { name: 'status', workers: 0 }, terminal)
    try {
      await whenSettled(mesh, terminal.stop)
      const peers = mesh.peers.filter((peer) => !peer.isSelf)
      const { links } = mesh.metrics()
      const record = { health: mesh.health(), peers, processors: mesh.processors, links, jobs: mesh.jobs() }
      await terminal.print(args.isJson ? toJson(record) : describe(mesh))
    } finally {
      await mesh.close()
    }
    return 0
  },
}

function describe(mesh: Mesh): string {
  const peers = mesh.peers.filter((peer) => !peer.isSelf)
  const { links } = mesh.metrics()
  const lines = peers.map((peer) => {
    const lent = describeProcessors(mesh.processors.filter((processor) => processor.peer === peer.id))
    const over = links.find((link) => link.peer === peer.id)?.over
    const way = over === undefined ? '' : over === 'tcp' ? ' over TCP' : ' over WebRTC'
    const state = peer.isSuspected ? ', silent' : ''
    const head = `${labelOf(peer).padEnd(24)} ${peer.role.padEnd(12)} ${lent.padEnd(24)}`
    return `  ${head} ${Math.round(peer.rttMs)} ms${way}${state}`
  })
  const jobs = mesh.jobs().map((job) => {
    const state = job.isEnded ? 'ended' : `owner ${job.owner.slice(0, 8)}`
    return `  ${job.name.padEnd(24)} ${job.done} of ${job.total} done, ${job.failed} failed, ${state}`
  })
  const reasons = mesh.health().reasons.map((reason) => `  ! ${reason}`)
  return [`${peers.length} peers`, ...lines, `${jobs.length} jobs`, ...jobs, ...reasons].join('\n')
}
