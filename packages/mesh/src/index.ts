export type * from './room.types.ts'
