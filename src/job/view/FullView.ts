import { batches, type Follower } from "../log/Follower.ts"
import type { LoggedEvent } from "../log/JobEvent.ts"

/** The bytes of an event in the full view, as text. */
export const toFrame = ({ id, json, kind }: LoggedEvent) => {
  const data = json.includes("\n") ? json.replaceAll("\n", "\ndata: ") : json
  return `id: ${id}\nevent: ${kind}\ndata: ${data}\n\n`
}

const idleComment = ": waiting\n\n"

/** The full view of a log after the event `after`: Server-Sent Events with id, kind and data. */
export const fullView = (follower: Follower, after: number) =>
  batches(follower, after, (events) => {
    if (events.length === 0) return Buffer.from(idleComment)
    let text = ""
    for (const event of events) text += toFrame(event)
    return Buffer.from(text)
  })
