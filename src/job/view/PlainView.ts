import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { sseFrame } from "../../http/SseFrame.ts"
import { batches, type Follower } from "../log/Follower.ts"
import {
  type LoggedEvent,
  readFailure,
  readJson,
  readNarration,
  readProgress,
  readText
} from "../log/JobEvent.ts"
import { readChunk, shownText } from "./EngineChunk.ts"
import { progressSentence } from "./progressSentence.ts"
import { render } from "./Table.ts"

/** A narration as a line: `[actor     ] action         : sentence`. Longer names are not cut. */
export const narrationLine = (actor: string, action: string, message: string) =>
  `[${actor.padEnd(10)}] ${action.padEnd(15)}: ${message}`

/** The texts of the last event of the plain view. */
export const endMarkers = { done: "[DONE]", cancelled: "[CANCELLED]", failed: "[ERROR] " } as const

/** The actor and action of the line that precedes the failure marker, as the original rbee writes and reads it. */
export const failedLine = { actor: "job-exec", action: "failed" } as const

/** Whether an event of this text would end the plain view. */
export const isEndMarker = (text: string) =>
  text === endMarkers.done || text === endMarkers.cancelled || text.startsWith(endMarkers.failed)

const lineBreak = /\r\n|\r|\n/g

/** A text as one event of the plain view. */
export const toPlainFrame = (text: string) => sseFrame(text.replace(lineBreak, "\n"))

const contentFrame = (text: string) => toPlainFrame(isEndMarker(text) ? ` ${text}` : text)

const oneLine = (text: string) => text.replace(lineBreak, " ")

/** Renders the events of one job for the plain view. Later events depend on earlier ones, so one renderer sees all of them. */
export class PlainRenderer {
  readonly #jobId: string
  #textWritten = false
  #doing: { readonly actor: string; readonly message: string } | undefined

  constructor(jobId: string) {
    this.#jobId = jobId
  }

  /** The text of one event in the plain view; empty if the plain view does not show the event. */
  render({ json, kind }: LoggedEvent): string {
    switch (kind) {
      case "narration":
        return this.#narration(json)
      case "progress":
        return contentFrame(
          narrationLine(
            "progress",
            "progress",
            Option.match(readProgress(json), { onNone: () => json, onSome: progressSentence })
          )
        )
      case "token":
        this.#textWritten = true
        return this.#text(json)
      case "line":
        return this.#text(json)
      case "chunk":
        return this.#chunk(json)
      case "result":
        return this.#result(json)
      case "done":
        return toPlainFrame(endMarkers.done)
      case "cancelled":
        return toPlainFrame(endMarkers.cancelled)
      case "failed":
        return this.#failed(json)
    }
  }

  /** The line that names what the job waits for, after a number of seconds without an event. */
  waiting(seconds: number) {
    const { actor, message } = this.#doing ?? { actor: "job", message: "Working" }
    return contentFrame(narrationLine(actor, "waiting", `${message} (${seconds} s)`))
  }

  #failed(json: string) {
    const failure = readFailure(json)
    const sentence = oneLine(Option.isSome(failure) ? failure.value.error.message : "The job failed")
    const { action, actor } = failedLine
    const line = narrationLine(actor, action, `Job ${this.#jobId} failed: ${sentence}`)
    return toPlainFrame(line) + toPlainFrame(endMarkers.failed + sentence)
  }

  #chunk(json: string) {
    const chunk = readChunk(json)
    if (chunk === undefined) return contentFrame(json)
    const text = shownText(chunk)
    if (text === "") return ""
    this.#textWritten = true
    return contentFrame(text)
  }

  #narration(json: string) {
    const narration = readNarration(json)
    if (Option.isNone(narration)) return contentFrame(json)
    const { actor, action, message } = narration.value
    this.#doing = { actor, message: oneLine(message) }
    return contentFrame(narrationLine(actor, action, message))
  }

  #text(json: string) {
    const text = readText(json)
    return contentFrame(Option.isSome(text) ? text.value.text : json)
  }

  #result(json: string) {
    const data = readJson(json)
    if (Option.isNone(data)) return contentFrame(json)
    const isText = typeof data.value === "object" && data.value !== null && "finish_reason" in data.value
    return isText && this.#textWritten ? "" : contentFrame(render(data.value))
  }
}

/**
 * The plain view of a job's log after the event `after`: lines for people, `curl` and simple programs, ending with
 * exactly one end marker. Something is written at least every second.
 */
export const plainView = (follower: Follower, after: number, jobId: string) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const renderer = new PlainRenderer(jobId)
      let lastEventAt = clock.currentTimeMillisUnsafe()

      const toBytes = (events: ReadonlyArray<LoggedEvent>) => {
        const now = clock.currentTimeMillisUnsafe()
        if (events.length === 0) return Buffer.from(renderer.waiting(Math.round((now - lastEventAt) / 1000)))
        lastEventAt = now
        let text = ""
        // Earlier events are rendered too: a result is omitted if its text was already written as tokens.
        for (const event of events) {
          const frame = renderer.render(event)
          if (event.id > after) text += frame
        }
        return text === "" ? undefined : Buffer.from(text)
      }

      return batches(follower, 0, toBytes)
    })
  )
