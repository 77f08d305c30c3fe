export { missingCapture } from './captures.ts'
export {
  declaredNames,
  type Extent,
  isExtents,
  type KernelSpec,
  kernelOf,
  kernelText,
  withoutComments,
} from './kernel-text.ts'
export {
  type ModuleText,
  type OperationFromOptions,
  operationFrom,
  operationHash,
  rememberFunction,
} from './operation-from.ts'
export { type ServiceCode, serviceCommand, serviceFrom } from './service-from.ts'
export { type ContextMark, markContext, markedBody } from './with-context.ts'
