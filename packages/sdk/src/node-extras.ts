export { hostRoom } from './host/host-room.ts'
export type { HostRoomOptions, RoomHost } from './host/types.ts'
export * from './node.ts'
