import { sha256Hex } from '@shoal/mesh/sha256'
import { type OperationHash, type OperationRecord, ShoalError } from '@shoal/scheduler'
import { functionExpression } from './function-text.ts'
import { rememberedTextsMax, sourceCharsMax } from './limits.ts'
import { markedBody } from './with-context.ts'

/** A module as text: what an operation is when it is not made from a function. */
export interface ModuleText {
  /** The text of an ES module that imports nothing. */
  readonly source: string
  /** Which export is the function. Default `default`. */
  readonly export?: string
}

export interface OperationFromOptions {
  /** Shown to people. Default: the function's name, else `anonymous`. */
  readonly name?: string
}

type AnyFunction = (...args: never[]) => unknown

const byFunction = new WeakMap<object, OperationRecord>()
/** Names that a module's own declarations cannot have. */
const reserved = new Set(
  (
    'arguments await break case catch class const continue debugger default delete do else enum eval export ' +
    'extends false finally for function if implements import in instanceof interface let new null package ' +
    'private protected public return static super switch takesContext this throw true try typeof var void ' +
    'while with yield __name'
  ).split(' '),
)
const loaded = new WeakMap<object, OperationRecord>()
const byText = new Map<string, OperationRecord>()

/**
 * The operation of a function without captures, of a body marked by `withContext`, or of a module's
 * text. Synchronous; a function is read once. A body made with a `name` may use that name for its own
 * operation (`ctx.mesh.spawn(fib, n - 1)` inside `fib`).
 * @throws ShoalError `E_CODE` native, bound and generator functions, classes, module texts over 4 MiB
 */
export function operationFrom(body: unknown, options: OperationFromOptions = {}): OperationRecord {
  const marked = markedBody(body)
  const fn = marked ?? body
  if (typeof fn === 'function') {
    const { name } = options
    if (name !== undefined) return fromNamed(fn as AnyFunction, marked !== null, name)
    return fromFunction(body as object, fn as AnyFunction, marked !== null)
  }
  if (isModuleText(body)) return fromModule(body, options.name ?? 'module')
  throw new ShoalError(
    'E_CODE',
    `Cannot make an operation as it must be a function or a module's text: current value is ${typeof body}`,
  )
}

/** The address of a module's export: what peers verify. */
export function operationHash(source: string, exportName: string): OperationHash {
  return `${sha256Hex(source)}#${exportName}` as OperationHash
}

/** Remembers which operation a loaded function is, so that a body can spawn itself by its own name. */
export function rememberFunction(fn: object, record: OperationRecord): void {
  loaded.set(fn, record)
}

function fromFunction(key: object, fn: AnyFunction, takesContext: boolean): OperationRecord {
  const known = loaded.get(fn) ?? byFunction.get(key)
  if (known !== undefined) return known
  const record = operationFromText(moduleOf(functionExpression(fn), takesContext, null), nameOf(fn))
  byFunction.set(key, record)
  return record
}

/** Inside its own text the operation is known by its name, so that its body can spawn it again. */
function fromNamed(fn: AnyFunction, takesContext: boolean, name: string): OperationRecord {
  const expression = functionExpression(fn)
  const isIdentifier = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) && !reserved.has(name)
  const ownName = isIdentifier && expression.includes(name) ? name : null
  return operationFromText(moduleOf(expression, takesContext, ownName), name)
}

/** The operation of a module's default export. */
export function operationFromText(source: string, name: string): OperationRecord {
  const known = byText.get(source)
  if (known?.name === name) return known
  checkSource(source)
  const hash = known?.hash ?? operationHash(source, 'default')
  const record = { hash, name, source, exportName: 'default' }
  if (byText.size >= rememberedTextsMax) byText.clear()
  byText.set(source, record)
  return record
}

/**
 * A module around one expression. Tools that keep names wrap inner functions in `__name(...)`, a helper
 * that stays behind in the bundle: the module has its own.
 */
function moduleOf(expression: string, takesContext: boolean, ownName: string | null): string {
  const helper = 'const __name = (target) => target\n'
  const mark = takesContext ? 'export const takesContext = true\n' : ''
  const body = `(\n${expression}\n)\n`
  if (ownName === null) return `${helper}${mark}export default ${body}`
  return `${helper}${mark}const ${ownName} = ${body}export { ${ownName} as default }\n`
}

function fromModule(module: ModuleText, name: string): OperationRecord {
  checkSource(module.source)
  const exportName = module.export ?? 'default'
  return { hash: operationHash(module.source, exportName), name, source: module.source, exportName }
}

function checkSource(source: string): void {
  if (source.length <= sourceCharsMax) return
  const limit = `at most ${sourceCharsMax} characters of code are sent`
  throw new ShoalError('E_CODE', `Cannot make an operation as ${limit}: current value is ${source.length}`)
}

function nameOf(fn: AnyFunction): string {
  return typeof fn.name === 'string' && fn.name !== '' && fn.name !== 'default' ? fn.name : 'anonymous'
}

function isModuleText(value: unknown): value is ModuleText {
  return typeof value === 'object' && value !== null && 'source' in value && typeof value.source === 'string'
}
