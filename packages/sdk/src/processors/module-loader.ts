import { type OperationRecord, ShoalError } from '@shoal/scheduler'
import { kernelOf, rememberFunction } from '../code/index.ts'
import { closeFields } from '../kernel-arguments.ts'

export type Body = (...args: unknown[]) => unknown

/** An operation in a worker: loading, loaded, or unusable for the reason in `error`. */
export interface LoadedOperation {
  readonly record: OperationRecord
  body: Body | null
  error: ShoalError | null
  /** Resolves when `body` or `error` is there; `null` from then on. */
  loading: Promise<void> | null
  takesContext: boolean
  /** Keeps nothing between calls: made from one function, so its results are its caller's alone. */
  readonly isStateless: boolean
  /** How long its last body ran; a new operation may take long. */
  lastMs: number
}

export interface ModuleLoader {
  load(record: OperationRecord): LoadedOperation
}

/** Imports operations' modules, each once. */
export function createModuleLoader(platform: {
  moduleUrl(source: string): string
  releaseUrl(url: string): void
}): ModuleLoader {
  return {
    load(record) {
      const operation: LoadedOperation = {
        record,
        body: null,
        error: null,
        loading: null,
        takesContext: false,
        isStateless: record.source.startsWith('const __name = (target) => target\n'),
        lastMs: Number.POSITIVE_INFINITY,
      }
      operation.loading = importInto(operation, platform).then(() => {
        operation.loading = null
      })
      return operation
    },
  }
}

async function importInto(
  operation: LoadedOperation,
  platform: { moduleUrl(source: string): string; releaseUrl(url: string): void },
): Promise<void> {
  const { record } = operation
  let url = ''
  try {
    url = platform.moduleUrl(`${record.source}\n//# sourceURL=${sourceName(record)}`)
    const module: Record<string, unknown> = await import(/* @vite-ignore */ url)
    const body = module[record.exportName]
    if (typeof body !== 'function') {
      throw new ShoalError(
        'E_CODE',
        `Cannot load operation "${record.name}" as its export "${record.exportName}" must be a function: current value is ${typeof body}`,
      )
    }
    operation.takesContext = module['takesContext'] === true
    operation.body = kernelOf(record) === null ? (body as Body) : bodyOfKernel(body as Body, operation)
    rememberFunction(body, record)
  } catch (cause) {
    const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
    // It was just made here: either a policy keeps it from loading, or something that it imports is away.
    const isUnloaded = url.startsWith('blob:') && text.includes(url)
    const reason = isUnloaded ? `${text}; a Content-Security-Policy must allow blob: in script-src` : text
    operation.error =
      cause instanceof ShoalError
        ? cause
        : new ShoalError(
            'E_CODE',
            `Cannot load operation "${record.name}" as its module must be valid: current value throws ${reason}`,
            { cause },
          )
  } finally {
    if (url !== '') platform.releaseUrl(url)
  }
}

/** A fallback gets its argument whole. */
function bodyOfKernel(body: Body, { takesContext }: LoadedOperation): Body {
  if (!takesContext) return (...args) => body(...closeFields(args))
  return (context, ...args) => body(context, ...closeFields(args))
}

/** What stack traces show instead of the whole text. */
function sourceName(record: OperationRecord): string {
  return `shoal/${record.name.replaceAll(/[^\w.-]+/g, '-').slice(0, 64)}-${record.hash.slice(0, 8)}.js`
}
