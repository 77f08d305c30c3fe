import { ShoalError } from '@shoal/scheduler'

/** The WGSL is not valid, or does not fit what the kernel says of it. */
export function badWgsl(desired: string, actual: string): ShoalError {
  return new ShoalError('E_WGSL', `Cannot compile a kernel as ${desired}: current value is ${actual}`)
}

/** What a kernel is called with is no object of its bindings. */
export function badArguments(desired: string, actual: string): ShoalError {
  return new ShoalError(
    'E_KERNEL_ARGUMENT',
    `Cannot run a kernel as its argument must be ${desired}: current value is ${actual}`,
  )
}

/** An argument does not fit the WGSL. */
export function badArgument(name: string, desired: string, actual: string): ShoalError {
  return new ShoalError(
    'E_KERNEL_ARGUMENT',
    `Cannot run a kernel as argument "${name}" must be ${desired}: current value is ${actual}`,
    { data: { argument: name } },
  )
}

/** The device took the kernel and its arguments, and would not run them. */
export function gpuRefused(reason: string): ShoalError {
  return new ShoalError('E_GPU', `Cannot run a kernel as the GPU must take it: current value is ${reason}`)
}

/** A value in a few words. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value !== 'object') return `a ${typeof value}`
  const name = Object.prototype.toString.call(value).slice(8, -1)
  if (ArrayBuffer.isView(value) && 'length' in value) return `a ${name} of ${String(value.length)}`
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (name !== 'Object') return `a ${name}`
  const keys = Object.keys(value)
  return keys.length === 0 ? 'an object without fields' : `an object with ${keys.slice(0, 20).join(', ')}`
}
