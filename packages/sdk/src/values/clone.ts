import { valueDepthMax } from './limits.ts'

/**
 * Says whether structured clone carries `value` exactly as packing would. `false` for whatever is
 * doubtful (handles, errors, instances of classes, functions, deep values): those are packed, and
 * packing says what is wrong with them.
 */
export function isCloneSafe(value: unknown): boolean {
  try {
    return isSafe(value, 0)
  } catch {
    // A getter or a proxy that throws.
    return false
  }
}

function isSafe(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'number':
    case 'string':
    case 'boolean':
    case 'undefined':
    case 'bigint':
      return true
    case 'object':
      return value === null || (depth < valueDepthMax && isObjectSafe(value, depth + 1))
    default:
      return false
  }
}

function isObjectSafe(value: object, depth: number): boolean {
  if (Array.isArray(value)) {
    // Every list of arguments comes through here: no closure, no iterator.
    for (let index = 0; index < value.length; index++) if (!isSafe(value[index], depth)) return false
    return true
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) {
    const record = value as Record<string, unknown>
    for (const key of Object.keys(record)) if (!isSafe(record[key], depth)) return false
    return true
  }
  if (ArrayBuffer.isView(value)) return isWholeView(value)
  if (prototype === ArrayBuffer.prototype || prototype === Date.prototype) return true
  if (prototype === RegExp.prototype) return true
  if (prototype === Map.prototype) {
    for (const [key, part] of value as Map<unknown, unknown>) {
      if (!isSafe(key, depth) || !isSafe(part, depth)) return false
    }
    return true
  }
  if (prototype !== Set.prototype) return false
  for (const part of value as Set<unknown>) if (!isSafe(part, depth)) return false
  return true
}

/** A clone of a small view drags its whole buffer along; packing takes only what the view shows. */
function isWholeView(view: ArrayBufferView): boolean {
  return view.buffer instanceof ArrayBuffer && view.byteLength === view.buffer.byteLength
}
