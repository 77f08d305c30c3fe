import { parseInvite } from '@shoal/mesh'
import { hostRoom } from '../host/host-room.ts'
import { joinMesh, localMesh } from '../node.ts'
import type { Mesh } from '../types.ts'
import type { Command } from './command.ts'
import { failureOf } from './failure.ts'
import { joinSoon } from './member.ts'
import { whenSettled } from './settled.ts'
import { type Terminal, toJson } from './terminal.ts'

/** No part of the examination takes longer on a machine that works. */
const stepMs = 15_000

interface Finding {
  readonly check: string
  readonly isOk: boolean
  readonly detail: string
}

/** Examines this machine, and with an invite the way to its room. */
export const doctor: Command = {
  name: 'doctor',
  usage: '[invite] [flags]',
  summary: 'examines this machine and the way to a room',
  flags: {},
  async run(args, terminal) {
    const [invite] = args.positionals
    const checks: [string, () => Promise<string>][] = [
      ['Node', examineNode],
      ['workers', examineWorkers],
      ['WebRTC', examineWebRtc],
    ]
    if (invite !== undefined) checks.push(['room', () => examineRoom(invite, terminal)])
    let failures = 0
    for (const [check, examine] of checks) {
      if (terminal.stop.aborted) return 130
      const finding = await find(check, examine)
      if (!finding.isOk) failures += 1
      const line = `${finding.isOk ? 'ok  ' : 'FAIL'} ${check.padEnd(8)} ${finding.detail}`
      await terminal.print(args.isJson ? toJson(finding) : line)
    }
    return failures === 0 ? 0 : 1
  },
}

async function find(check: string, examine: () => Promise<string>): Promise<Finding> {
  try {
    return { check, isOk: true, detail: await examine() }
  } catch (error) {
    const { code, message, fix } = failureOf(error)
    return { check, isOk: false, detail: `${code}: ${message}${fix === null ? '' : `. To fix: ${fix}`}` }
  }
}

async function examineNode(): Promise<string> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return `version ${process.versions.node}`
  throw new Error(
    `Cannot use this Node as it must be 20.19 or newer: current value is ${process.versions.node}`,
  )
}

async function examineWorkers(): Promise<string> {
  const mesh = await localMesh({ workers: 1, signal: AbortSignal.timeout(stepMs) })
  try {
    await mesh.spawn((a: number, b: number) => a + b, 20, 22)
    return 'a worker ran a task'
  } finally {
    await mesh.close()
  }
}

/** The real thing in small: a room on loopback, a submitter without workers, a lender, one task over the link. */
async function examineWebRtc(): Promise<string> {
  const signal = AbortSignal.timeout(stepMs)
  const host = await hostRoom({ host: '127.0.0.1', port: 0, page: false })
  const meshes: Mesh[] = []
  try {
    meshes.push(await joinMesh(host.contributorInvite, { name: 'lender', workers: 1, signal }))
    const submitter = await joinMesh(host.memberInvite, { name: 'submitter', workers: 0, signal })
    meshes.push(submitter)
    const startedAt = performance.now()
    await submitter.with({ signal, timeoutMs: stepMs }).spawn(() => 42)
    return `a task ran on another peer over a data channel, ${Math.round(performance.now() - startedAt)} ms`
  } finally {
    await Promise.all(meshes.map((mesh) => mesh.close()))
    await host.close()
  }
}

async function examineRoom(text: string, terminal: Terminal): Promise<string> {
  const invite = parseInvite(text)
  const mesh = await joinSoon(text, { name: 'doctor', workers: 0 }, terminal)
  try {
    await whenSettled(mesh, terminal.stop)
    const others = mesh.peers.length - 1
    if (others > 0) return `joined as ${invite.role}; ${others} other peer${others === 1 ? '' : 's'} answered`
    return `joined as ${invite.role}; nobody else is there`
  } finally {
    await mesh.close()
  }
}
