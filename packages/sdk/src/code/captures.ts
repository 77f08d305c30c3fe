import { ShoalError } from '@shoal/scheduler'

/** How engines say that a name is not there: V8 and Firefox, then Safari. */
const wordings = [/^(\S+) is not defined$/, /^Can't find variable: (\S+)$/]
const isBundlerName = /^__vi|^_{1,2}\w*(?:import|IMPORT)|WEBPACK/

/**
 * What a body that used a name from outside threw, as `E_CODE` with `data.missing`; `null` when `error`
 * is something else.
 */
export function missingCapture(error: unknown, operation: string): ShoalError | null {
  const name = missingName(error)
  if (name === undefined) return null
  const what = isBundlerName.test(name) ? `an import of its file (the bundler calls it ${name})` : `"${name}"`
  return new ShoalError(
    'E_CODE',
    `Cannot run operation "${operation}" as its function must bring along all that it uses: current value uses ${what} from outside, pass it as an argument`,
    { cause: error, data: { missing: name } },
  )
}

/** Whatever a body threw may throw itself when it is looked at. */
function missingName(error: unknown): string | undefined {
  try {
    if (!(error instanceof Error) || error.name !== 'ReferenceError') return undefined
    const { message } = error
    return wordings.map((wording) => wording.exec(message)?.[1]).find((found) => found !== undefined)
  } catch {
    return undefined
  }
}
