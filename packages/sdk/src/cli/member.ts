import type { MeshOptions } from '../types.ts'
import type { Arguments, Flag } from './command.ts'

/** Flags of every command that takes part in a room. */
export const memberFlags: Readonly<Record<string, Flag>> = {
  name: { type: 'string', help: 'name that the others see' },
  workers: { type: 'string', help: 'workers to lend (default: processors - 1; 0 lends nothing)' },
}

/** The mesh options that those flags say. */
export function meshOptions(args: Arguments): MeshOptions {
  const name = args.text('name')
  const workers = args.integer('workers', 0, 256)
  return { ...(name === undefined ? {} : { name }), ...(workers === undefined ? {} : { workers }) }
}
