import { sseFrame } from "../../http/SseFrame.ts"
import { batches, type Follower } from "../log/Follower.ts"
import type { LoggedEvent } from "../log/JobEvent.ts"

/** The text of an event in the full view. */
export const toFrame = ({ id, json, kind }: LoggedEvent) => sseFrame(json, kind, id)

const idleComment = ": waiting\n\n"

/** The full view of a log after the event `after`: Server-Sent Events with id, kind and data. */
export const fullView = (follower: Follower, after: number) =>
  batches(follower, after, (events) => {
    if (events.length === 0) return Buffer.from(idleComment)
    let text = ""
    for (const event of events) text += toFrame(event)
    return Buffer.from(text)
  })
