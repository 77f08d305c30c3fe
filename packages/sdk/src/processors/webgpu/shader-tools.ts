import type * as shaderTools from 'webgpu-utils'

/** The library that reads WGSL. */
export type ShaderTools = typeof shaderTools

let loading: Promise<ShaderTools> | null = null

/** Loads the library with the first kernel: it is big, and many peers never run one. */
export function loadShaderTools(): Promise<ShaderTools> {
  loading ??= load()
  return loading
}

async function load(): Promise<ShaderTools> {
  const scope = globalThis as { Float16Array?: unknown }
  // It looks for 16-bit floats while it loads; older engines have none.
  scope.Float16Array ??= class Float16Array extends Uint16Array {}
  return import('webgpu-utils')
}
