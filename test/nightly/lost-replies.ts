import t from 'tap'
import { runLostReplies } from '../storage/lost-replies.ts'

t.test('over 1,000 lost replies each write counts exactly once', { timeout: 1_200_000 }, (t) => runLostReplies(t, 334))
