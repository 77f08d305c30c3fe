import { replicaContract } from '@shoal/scheduler/testing/contract/replica'
import { createTestSigning } from '../../packages/mesh/src/membership/signing.testing.ts'
import { createReplica } from '../../packages/mesh/src/replica/index.ts'

replicaContract({ name: 'Yjs', create: (seat) => createReplica(seat) })
replicaContract({
  name: 'Yjs, signed',
  create: (seat) => createReplica({ ...seat, signing: createTestSigning(seat.self) }),
})
