import { createFakeReplica, createPost, createRng, createSimDisk } from '@shoal/scheduler/testing'
import { replicaContract } from '@shoal/scheduler/testing/contract/replica'

/** What the fake replicas of all rooms say to each other. */
const post = createPost()

/** The simulator's fake replica keeps the same promises as the real one: what worlds show on it holds on Yjs. */
replicaContract({
  name: 'simulated',
  create: (seat) => {
    const store = createSimDisk(createRng(seat.clientId), { failRate: 0, tornMax: 0, lossRate: 0 })
    return createFakeReplica({ ...seat, epoch: seat.clientId, store, post })
  },
})
