import type { PeerId, ProcessorId } from './ids.ts'

/** What kind of place a processor is: `worker`, `webgpu`, or a custom word. */
export type ProcessorKind = string

/** A place that executes, as its peer advertises it. */
export interface ProcessorRecord {
  readonly id: ProcessorId
  readonly kind: ProcessorKind
  /** `false`: used only by tasks whose scope names it or its kind. */
  readonly isDefault: boolean
  /** Calibrated speed, in units of one reference worker; 1 when unknown. */
  readonly score: number
}

/** Builds the id of the `index`-th processor of `kind` on `peer`. */
export function processorId(peer: PeerId, kind: ProcessorKind, index: number): ProcessorId {
  return `${peer}/${kind}/${index}` as ProcessorId
}
