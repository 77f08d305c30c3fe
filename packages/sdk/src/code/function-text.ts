import { ShoalError } from '@shoal/scheduler'

const identifier = String.raw`[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*`
const isFunction = /^(?:async\s+)?function\b(?!\s*\*)/
const isGenerator = /^(?:async\s*)?(?:function\s*)?\*/
const isArrow = new RegExp(String.raw`^(?:async\b\s*)?(?:\(|${identifier}\s*=>)`, 'u')
const isAccessor = /^(?:get|set)\s+[^(]/

/**
 * The text of a function as an expression that means the same in a module of its own.
 * @throws ShoalError `E_CODE` when there is no such text: native, bound, class, generator, accessor
 */
export function functionExpression(fn: (...args: never[]) => unknown): string {
  const text = Function.prototype.toString.call(fn)
  if (/\{\s*\[native code\]\s*\}\s*$/.test(text))
    throw refused(fn, 'a native or bound function without a text')
  if (/^class\b/.test(text)) throw refused(fn, 'a class')
  if (isGenerator.test(text)) throw refused(fn, 'a generator')
  if (isFunction.test(text)) return text
  // Only a method can be called `async` and look like an arrow.
  if (isArrow.test(text) && !(fn.name === 'async' && /^async\s*\(/.test(text))) return text
  if (isAccessor.test(text)) throw refused(fn, 'a getter or setter')
  return `((methods) => methods[Reflect.ownKeys(methods)[0]])({ ${text} })`
}

function refused(fn: (...args: never[]) => unknown, found: string): ShoalError {
  const name = fn.name === '' ? 'the function' : `"${fn.name}"`
  return new ShoalError(
    'E_CODE',
    `Cannot make an operation of ${name} as it must be a plain or async function with a text: current value is ${found}`,
  )
}
