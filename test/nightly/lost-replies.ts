import t from 'tap'
import { startMongo } from '../services/mongo.ts'
import { runLostReplies } from '../storage/lost-replies.ts'

t.test('over 1,000 lost replies each write counts exactly once', { timeout: 1_200_000 }, async (t) => runLostReplies(t, { rounds: 334, server: await startMongo(t) }))
