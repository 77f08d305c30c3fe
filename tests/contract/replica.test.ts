import { replicaContract } from '@shoal/scheduler/testing/contract/replica'
import { createReplica } from '../../packages/mesh/src/replica/index.ts'

replicaContract({ name: 'Yjs', create: (seat) => createReplica(seat) })
