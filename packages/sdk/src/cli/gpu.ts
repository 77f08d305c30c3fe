import { ShoalError } from '@shoal/scheduler'
import type { Mesh, ProcessorInfo } from '../types.ts'
import { type Arguments, type Command, type Flag, usageError } from './command.ts'
import type { Terminal } from './terminal.ts'

/** Flags of every command that may lend a GPU. */
export const gpuFlags: Readonly<Record<string, Flag>> = {
  gpu: { type: 'boolean', help: 'lend the GPU, and say so if there is none (default: if there is one)' },
  'require-gpu': { type: 'boolean', help: 'lend the GPU, or fail' },
  'no-gpu': { type: 'boolean', help: 'keep the GPU' },
}

/** What those flags ask for. */
export type GpuWish = 'auto' | 'wanted' | 'required' | 'none'

/** @throws ShoalError `E_USAGE` flags that contradict each other */
export function gpuWishOf(args: Arguments, command: Command): GpuWish {
  const isWanted = args.has('gpu') || args.has('require-gpu')
  if (args.has('no-gpu') && isWanted) throw usageError('--no-gpu goes with no other flag about GPUs', command)
  if (args.has('no-gpu')) return 'none'
  if (args.has('require-gpu')) return 'required'
  return isWanted ? 'wanted' : 'auto'
}

/** A driver that hangs says nothing at all; by then this peer has given it up. */
const longestMs = 20_000

/**
 * Waits until it is known whether this peer has a GPU, if one was asked for.
 * @throws ShoalError `E_GPU` it has none, and must have one
 */
export async function settleGpu(mesh: Mesh, wish: GpuWish, terminal: Terminal): Promise<void> {
  if (wish !== 'wanted' && wish !== 'required') return
  const absence = await absenceOf(mesh, terminal.stop)
  if (absence === null) return
  const fix = absence.includes('not installed')
    ? 'npm install webgpu@0.6.2'
    : "install the GPU's driver with Vulkan, Metal or Direct3D 12, or leave the flag out"
  if (wish === 'wanted') {
    terminal.note(`! ${absence}. To fix: ${fix}`)
    return
  }
  const text = `Cannot lend a GPU as there must be one: current value is ${absence}`
  throw new ShoalError('E_GPU', text, { data: { fix } })
}

/** Why this peer has no GPU, in words; `null`: it has one. */
function absenceOf(mesh: Mesh, stop: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const finish = (absence: string | null): void => {
      clearTimeout(late)
      leave()
      stop.removeEventListener('abort', onStop)
      resolve(absence)
    }
    const look = (): void => {
      const reason = mesh.health().reasons.find((one) => one.startsWith('no GPU to lend: '))
      if (ownProcessors(mesh).some(({ kind }) => kind === 'webgpu')) finish(null)
      else if (reason !== undefined) finish(reason)
    }
    const onStop = (): void => finish(null)
    const late = setTimeout(() => finish('no GPU to lend: it gave no answer'), longestMs)
    const leave = mesh.on('peers-changed', look)
    stop.addEventListener('abort', onStop)
    look()
  })
}

/** What this peer lends. */
export function ownProcessors(mesh: Mesh): readonly ProcessorInfo[] {
  return mesh.processors.filter(({ peer }) => peer === mesh.self)
}

/** Processors for people: how many of each kind, and how fast each is in units of a reference worker. */
export function describeProcessors(processors: readonly ProcessorInfo[]): string {
  const kinds = new Map<string, ProcessorInfo[]>()
  for (const one of processors) kinds.set(one.kind, [...(kinds.get(one.kind) ?? []), one])
  const parts = Array.from(kinds, ([kind, all]) => {
    const noun = kind === 'webgpu' ? 'GPU' : kind
    const mean = all.reduce((sum, { score }) => sum + score, 0) / all.length
    return `${all.length} ${noun}${all.length === 1 ? '' : 's'} (speed ${mean.toFixed(1)})`
  })
  return parts.length === 0 ? 'lends nothing' : parts.join(', ')
}
