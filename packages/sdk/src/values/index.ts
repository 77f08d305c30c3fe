export { isCloneSafe } from './clone.ts'
export { type Cell, toCell, toCells, toColumn } from './column.ts'
export { errorFromRecord, errorToRecord } from './error-record.ts'
export {
  type HandleCodec,
  type HandleRef,
  handleCodec,
  registerHandleCodec,
  type ServiceRef,
} from './handles.ts'
export { packShared, packValue } from './pack.ts'
export { type Apart, takeApart } from './parts.ts'
export { LivePayload, payloadValue } from './payload.ts'
export { unpackSmallList } from './scalars.ts'
export { LiveItems, type Row, SliceValues } from './slice.ts'
export { unpackValue } from './unpack.ts'
