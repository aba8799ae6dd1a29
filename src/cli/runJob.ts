import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DaemonClient } from "../daemon/DaemonClient.ts"
import { type PeerError, reasonText } from "../job/client/clientErrors.ts"
import { JobsClient } from "../job/client/JobsClient.ts"
import type { Peer } from "../job/client/Peer.ts"
import { endError } from "../job/endError.ts"
import { type JobEvent, readJson, readNarration, readProgress, readText } from "../job/log/JobEvent.ts"
import { readChunk, shownText } from "../job/view/EngineChunk.ts"
import { narrationLine } from "../job/view/PlainView.ts"
import { progressSentence } from "../job/view/progressSentence.ts"
import { HiveStart } from "../operation/hiveOperations.ts"
import { Operation, shouldForwardToHive, hiveId } from "../operation/Operation.ts"
import { Connection } from "./Connection.ts"
import { JobEndedBadly } from "./errors.ts"
import { fleetModels, hasActiveHive, whereModelIs } from "./fleetModels.ts"
import { Output } from "./Output.ts"

/**
 * How a job's events are shown: for its answer, each for itself (with `--json` a line an event), or only as far as
 * they tell what is prepared for another job.
 */
export type Show = "answer" | "events" | "preparation"

const encode = Schema.encodeSync(Schema.fromJsonString(Operation))
const cancelTimeout = "5 seconds"

const asLine = ({ id, json, kind }: JobEvent) =>
  `{"id":${id ?? null},"event":${JSON.stringify(kind)},"data":${json}}`

/** Shows the events of one job as they come, and remembers what it must know of those before. */
const makeScreen = (output: Output["Service"], show: Show) => {
  let lastText = ""

  const text = (piece: string) => {
    lastText = piece
    return output.text(piece)
  }

  const progress = (event: JobEvent) =>
    Option.match(readProgress(event.json), {
      onNone: () => Effect.void,
      onSome: (progress) => output.progress(progressSentence(progress))
    })

  const narration = (event: JobEvent) =>
    Option.match(readNarration(event.json), {
      onNone: () => Effect.void,
      onSome: ({ action, actor, message }) =>
        show === "preparation" && action === "route_job"
          ? Effect.void
          : output.note(narrationLine(actor, action, message))
    })

  const result = (event: JobEvent) => {
    if (show === "preparation") return Effect.void
    const data = Option.getOrElse(readJson(event.json), () => null)
    const isText = typeof data === "object" && data !== null && "finish_reason" in data
    if (!isText || output.json) return output.answer(data)
    return lastText === "" && typeof data["text"] === "string" ? text(data["text"]) : Effect.void
  }

  const endLine = Effect.suspend(() =>
    lastText === "" || lastText.endsWith("\n") ? Effect.void : output.text("\n")
  )

  const pieceOf = (event: JobEvent) =>
    Option.match(readText(event.json), {
      onNone: () => Effect.void,
      onSome: ({ text: piece }) => text(piece)
    })

  const lineOf = (event: JobEvent) =>
    Option.match(readText(event.json), {
      onNone: () => Effect.void,
      onSome: ({ text: line }) => output.line(line)
    })

  const chunk = ({ json }: JobEvent) => {
    const read = readChunk(json)
    const piece = read === undefined ? "" : shownText(read)
    return piece === "" ? Effect.void : text(piece)
  }

  return (event: JobEvent): Effect.Effect<void> => {
    if (show === "events" && output.json) return output.line(asLine(event))
    switch (event.kind) {
      case "narration":
        return narration(event)
      case "progress":
        return progress(event)
      case "token":
        return output.json ? Effect.void : pieceOf(event)
      case "line":
        return output.json ? output.line(asLine(event)) : lineOf(event)
      case "chunk":
        return output.json ? Effect.void : chunk(event)
      case "result":
        return result(event)
      case "done":
      case "failed":
      case "cancelled":
        return endLine
    }
  }
}

const lossOf = (error: PeerError) => {
  switch (error._tag) {
    case "PeerUnreachable":
      return reasonText[error.reason]
    case "PeerTimeout":
      return `nothing came for ${error.millis / 1000} s`
    case "PeerHungUp":
    case "PeerMisspoke":
    case "PeerRefused":
      return error.detail
  }
}

/** Follows a job to its end; a connection that breaks is resumed, and stderr says so. */
const follow = Effect.fnUntraced(function* (
  peer: Peer,
  jobId: string,
  screen: (event: JobEvent) => Effect.Effect<void>,
  { isKnown }: { readonly isKnown: boolean }
) {
  const output = yield* Output
  const client = yield* JobsClient
  const end = yield* client.follow(peer, jobId, {
    isKnown,
    canMove: () => false,
    onLost: (error) => output.note(`Connection to the queen lost (${lossOf(error)}); reconnecting`),
    onResumed: output.note("Reconnected to the queen"),
    take: (events) => Effect.forEach(events, screen, { discard: true })
  })
  yield* screen(end)
  return end
})

const failUnlessDone = (end: JobEvent) => {
  const error = endError(end)
  if (error === undefined) return Effect.void
  const code = error._tag === "JobFailed" ? error.code : error._tag
  return Effect.fail(new JobEndedBadly({ code, message: error.message }))
}

/** Shows a job that exists, without owning it: leaving it leaves it running. */
export const watchJob = Effect.fnUntraced(function* (jobId: string) {
  const output = yield* Output
  const connection = yield* Connection
  const peer = yield* connection.queen
  yield* Effect.flatMap(follow(peer, jobId, makeScreen(output, "events"), { isKnown: false }), failUnlessDone)
})

/** Runs a request as a job of the queen and shows it. Interrupted, it cancels the job before it ends. */
export const runJson = Effect.fnUntraced(function* (body: string, show: Show) {
  const output = yield* Output
  const client = yield* JobsClient
  const daemons = yield* DaemonClient
  const connection = yield* Connection
  const peer = yield* connection.runningQueen
  const jobId = yield* client.submit(peer, body)
  const cancel = daemons.cancel(peer, jobId).pipe(Effect.timeout(cancelTimeout), Effect.ignore)
  yield* follow(peer, jobId, makeScreen(output, show), { isKnown: true }).pipe(
    Effect.onExit((exit) => (Exit.hasInterrupts(exit) ? cancel : Effect.void)),
    Effect.flatMap(failUnlessDone)
  )
})

const startLocalHive = runJson(encode(new HiveStart({})), "preparation")

/** Whether the local hive must run first: for its own operations, and for `auto` if no other hive answers. */
const needsLocalHive = Effect.fnUntraced(function* (operation: Operation) {
  const hive = hiveId(operation)
  if (!shouldForwardToHive(operation) || (hive !== "localhost" && hive !== "auto")) return false
  if (hive === "localhost") return true
  const connection = yield* Connection
  return !hasActiveHive(yield* fleetModels(yield* connection.runningQueen))
})

/** Adds the hives that have the model to the failure of an operation whose hive does not have it. */
const explainMissingModel = (operation: Operation) =>
  Effect.fnUntraced(function* (error: JobEndedBadly) {
    if (error.code !== "ModelNotFound" || !("model" in operation)) return yield* error
    const connection = yield* Connection
    const where = whereModelIs(yield* fleetModels(yield* connection.queen), operation.model)
    return yield* where === undefined
      ? error
      : new JobEndedBadly({ code: error.code, message: `${error.message}. ${where}` })
  })

/** Runs an operation and shows its answer; the local hive is started first if the operation needs it. */
export const runOperation = Effect.fnUntraced(function* (operation: Operation, show: Show = "answer") {
  if (yield* needsLocalHive(operation)) yield* startLocalHive
  yield* Effect.catchTag(runJson(encode(operation), show), "JobEndedBadly", explainMissingModel(operation))
})
