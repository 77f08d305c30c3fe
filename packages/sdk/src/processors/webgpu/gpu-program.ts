import type { VariableDefinition } from 'webgpu-utils'
import type { KernelSpec } from '../../code/index.ts'
import { badWgsl } from './gpu-errors.ts'
import { loadShaderTools, type ShaderTools } from './shader-tools.ts'
import { workgroupSizeOf } from './workgroup-size.ts'

/** A buffer that a kernel reads or writes. */
export interface Binding {
  readonly name: string
  readonly group: number
  readonly binding: number
  readonly variable: VariableDefinition
  readonly use: 'uniform' | 'read' | 'write'
}

/** A kernel that is ready to run on one device. */
export interface Program {
  readonly spec: KernelSpec
  readonly tools: ShaderTools
  readonly pipeline: GPUComputePipeline
  readonly layouts: readonly GPUBindGroupLayout[]
  readonly bindings: readonly Binding[]
  /** `null`: it cannot be told from the text. */
  readonly workgroupSize: readonly [number, number, number] | null
}

/**
 * Compiles a kernel and looks up what it binds.
 * @throws ShoalError `E_WGSL`
 */
export async function compileKernel(device: GPUDevice, spec: KernelSpec): Promise<Program> {
  const module = await compileModule(device, spec.wgsl)
  const tools = await loadShaderTools()
  const definitions = reflect(tools, spec.wgsl)
  const entry = entryOf(definitions, spec.entry)
  const bindings = bindingsOf(definitions, entry)
  for (const [name] of spec.outputs) {
    const writable = bindings.filter(({ use }) => use === 'write').map((binding) => binding.name)
    if (!writable.includes(name))
      throw badWgsl(
        `output "${name}" must be a read_write storage variable that entry point "${entry}" uses`,
        writable.length === 0 ? 'none' : writable.join(', '),
      )
  }
  const compute = { module, entryPoint: entry, constants: spec.constants }
  const layouts = tools
    .makeBindGroupLayoutDescriptors(definitions, { compute: { entryPoint: entry } })
    .map((descriptor) => device.createBindGroupLayout(descriptor))
  const layout = device.createPipelineLayout({ bindGroupLayouts: layouts })
  try {
    const pipeline = await device.createComputePipelineAsync({ layout, compute })
    const workgroupSize = workgroupSizeOf(spec.wgsl, entry, spec.constants)
    return { spec, tools, pipeline, layouts, bindings, workgroupSize }
  } catch (error) {
    throw badWgsl(`entry point "${entry}" must fit the GPU`, messageOf(error))
  }
}

async function compileModule(device: GPUDevice, wgsl: string): Promise<GPUShaderModule> {
  device.pushErrorScope('validation')
  const module = device.createShaderModule({ code: wgsl })
  const [info] = await Promise.all([module.getCompilationInfo(), device.popErrorScope()])
  const errors = info.messages.filter(({ type }) => type === 'error')
  if (errors.length === 0) return module
  const text = errors.slice(0, 5).map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`)
  throw badWgsl('its WGSL must be valid', text.join('; '))
}

type Definitions = ReturnType<ShaderTools['makeShaderDataDefinitions']>

function reflect(tools: ShaderTools, wgsl: string): Definitions {
  try {
    return tools.makeShaderDataDefinitions(wgsl)
  } catch (error) {
    throw badWgsl('its WGSL must be readable', messageOf(error))
  }
}

const computeStage = 4

function entryOf(definitions: Definitions, wanted: string | null): string {
  const entries = Object.entries(definitions.entryPoints).filter(([, { stage }]) => stage === computeStage)
  const names = entries.map(([name]) => name)
  const [only] = names
  if (wanted === null && names.length === 1 && only !== undefined) return only
  if (wanted !== null && names.includes(wanted)) return wanted
  const desired =
    wanted === null ? '"entry" must name one of its compute entry points' : `"${wanted}" must be one`
  throw badWgsl(desired, names.length === 0 ? 'none' : names.join(', '))
}

function bindingsOf(definitions: Definitions, entry: string): Binding[] {
  const { resources } = definitions.entryPoints[entry] as Definitions['entryPoints'][string]
  const bindings = resources.map(({ name, group, entry: { binding, buffer } }): Binding => {
    const variable = definitions.uniforms[name] ?? definitions.storages[name]
    if (variable === undefined || buffer === undefined)
      throw badWgsl('a kernel must bind buffers only', `"${name}", which is none`)
    const use =
      definitions.uniforms[name] !== undefined
        ? 'uniform'
        : buffer.type === 'read-only-storage'
          ? 'read'
          : 'write'
    return { name, group, binding, variable, use }
  })
  return bindings.sort((one, other) => one.group - other.group || one.binding - other.binding)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
