import { benchB1r, benchB2r, benchB5 } from './remote.ts'
import { benchB6r } from './services.ts'

/** What is measured between two processes. */
export const remoteBenches = { B1r: benchB1r, B2r: benchB2r, B5: benchB5, B6: benchB6r } as const

export type RemoteId = keyof typeof remoteBenches
