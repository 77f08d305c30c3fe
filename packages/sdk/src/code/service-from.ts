import { type OperationRecord, ShoalError } from '@shoal/scheduler'
import { functionExpression } from './function-text.ts'
import { operationFromText } from './operation-from.ts'
import { markedBody } from './with-context.ts'

/** What a service is made from, read once. */
export interface ServiceCode {
  readonly record: OperationRecord
  /** Private fields that nobody else can read: without `snapshot()` its state cannot be kept elsewhere. */
  readonly hiddenFields: readonly string[]
}

type AnyFunction = (...args: never[]) => unknown

const known = new WeakMap<object, ServiceCode>()

/**
 * The operation of a class (or of a function that makes an object), as one self-contained module that
 * holds one instance.
 * @throws ShoalError `E_CODE` not a class or function, one without a text, or a class that extends another
 */
export function serviceFrom(shape: unknown): ServiceCode {
  const marked = markedBody(shape)
  const make = marked ?? shape
  if (typeof make !== 'function') throw refused(`"${String(shape)}"`, typeof shape)
  const found = known.get(make)
  if (found !== undefined) return found
  const isClass = /^class\b/.test(Function.prototype.toString.call(make))
  const text = ownMarks(isClass ? classText(make as AnyFunction) : functionExpression(make as AnyFunction))
  const name = make.name === '' ? 'service' : make.name
  const code = {
    record: operationFromText(moduleOf(text, isClass, marked !== null), name),
    hiddenFields: isClass && !/\bsnapshot\s*\(/.test(text) ? hiddenFieldsOf(text) : [],
  }
  known.set(make, code)
  return code
}

function classText(make: AnyFunction): string {
  const base: unknown = Object.getPrototypeOf(make)
  if (base === Function.prototype) return Function.prototype.toString.call(make)
  throw refused(`"${make.name}"`, 'a class that extends another')
}

/** Bundlers put the module's name before what was imported; the module of a service has a `withContext` of its own. */
function ownMarks(text: string): string {
  return text.replace(
    /\(0,\s*[\w$]+\.withContext\)(?=\()|\b(?!this\.)[\w$]+\.withContext(?=\()/g,
    'withContext',
  )
}

/** Fields that are used as `.#name` and are no private methods. */
function hiddenFieldsOf(text: string): readonly string[] {
  const names = new Set(
    [...text.matchAll(/\.(#[\p{ID_Start}$_][\p{ID_Continue}$]*)/gu)].map(([, name]) => name),
  )
  return [...names].flatMap((name) => {
    const method = new RegExp(String.raw`(?:^|[\s;}*])${(name as string).replaceAll('$', '\\$')}\s*\(`)
    return method.test(text) ? [] : [name as string]
  })
}

function refused(what: string, found: string): ShoalError {
  const rule = 'it must be a class of its own, or a function that makes an object'
  return new ShoalError('E_CODE', `Cannot make a service of ${what} as ${rule}: current value is ${found}`)
}

/**
 * The module of a service: its default export does all that a host asks, by number (see `serviceCommand`).
 * It keeps state, so it must not begin like an operation's module.
 */
function moduleOf(text: string, isClass: boolean, isMarked: boolean): string {
  const takesContext = isMarked || /\bwithContext\(/.test(text)
  const first = isMarked ? 'command === 1 ? [ctx, ...b] : b' : 'b'
  return `let it = null
const __name = (target) => target
${takesContext ? contextText : ''}const Service = (
${text}
)
${runtimeText}
const make = (args) => ${isClass ? 'new Service(...args)' : 'Service(...args)'}
export default ${takesContext ? `(ctx, command, a, b, c) => run(command, a, ${first}, c, ctx)` : 'run'}
`
}

/** Numbers of what the module of a service can be asked. */
export const serviceCommand = { call: 0, open: 1, snapshot: 2 } as const

/** A method that takes its context is a function that holds another one: state has no functions. */
const contextText = `export const takesContext = true
const body = Symbol('body')
const withContext = (method) => Object.assign(() => { throw fail('E_CODE', 'Cannot call a method that takes a context as it must be called through its handle: current value is a call from inside') }, { [body]: method })
`

const runtimeText = `const plain = new Set([Array, Map, Set, Date, RegExp, ArrayBuffer, Object])
const fail = (code, message) => Object.assign(new Error(message), { name: 'ShoalError', code })
const methodOf = (name) => {
  for (let at = it; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, name)
    if (found !== undefined) return name !== 'constructor' && typeof found.value === 'function' ? found.value : null
  }
  return null
}
const call = (name, args, ctx) => {
  const method = methodOf(name)
  if (method !== null && ctx !== undefined && body in method) return method[body].call(it, ctx, ...args)
  if (method !== null) return method.apply(it, args)
  throw fail('E_NO_METHOD', 'Cannot call "' + name + '" as it must be a method of the service: current value is ' + typeof it[name])
}
const restore = (state) => {
  if (methodOf('restore') !== null) return it.restore(state)
  for (const key of Object.keys(it)) if (!(key in state) && typeof it[key] !== 'function') delete it[key]
  Object.assign(it, state)
}
const open = async (state, args, hasState) => {
  it = await make(args)
  if (it === null || typeof it !== 'object') throw fail('E_CODE', 'Cannot start the service as its function must make an object: current value is ' + (it === null ? 'null' : typeof it))
  if (hasState) await restore(state)
}
const field = (key, value) => {
  const isPlain = value === null || typeof value !== 'object' || ArrayBuffer.isView(value) || value instanceof Error
  const shape = isPlain ? null : Object.getPrototypeOf(value)
  const handle = shape === null ? undefined : shape[Symbol.for('shoal.handle')]
  if (shape === null || handle === 'the handle of a service' || plain.has(shape.constructor)) return value
  throw fail('E_NOT_SERIALIZABLE', 'Cannot keep the state of the service as field "' + key + '" must be plain data, or the class must have snapshot() and restore(state): current value is ' + (handle ?? 'a ' + (shape.constructor?.name ?? 'object')))
}
const snapshot = () => {
  if (methodOf('snapshot') !== null) return it.snapshot()
  const state = {}
  for (const key of Object.keys(it)) if (typeof it[key] !== 'function') state[key] = field(key, it[key])
  return state
}
const run = (command, a, b, c, ctx) => command === 0 ? call(a, b, ctx) : command === 1 ? open(a, b, c) : snapshot()`
