import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { fromScopedPull, scopedPull } from "../../http/fromScopedPull.ts"
import type { JobFailed } from "../../job/errors.ts"
import {
  isEnd,
  type LoggedEvent,
  readFailure,
  readNarration,
  readProgress,
  readText
} from "../../job/log/JobEvent.ts"
import { InvalidRequest } from "../endpoint/Endpoint.ts"
import { jobFailure } from "../upstream/OperationRunner.ts"

/** The id of the model to pull. Ollama's own names have no prefix; Hugging Face names begin with the host. */
export const pulledId = (name: string): Result.Result<string, InvalidRequest> => {
  if (/^file:/i.test(name)) {
    return Result.fail(
      new InvalidRequest({
        reason: "Local files cannot be pulled; register them with 'rbee model download file:/path'"
      })
    )
  }
  if (/^http:/i.test(name)) {
    return Result.fail(
      new InvalidRequest({
        reason:
          "A model is not pulled over http://, which does not protect it from modification; use its https:// URL, or put the file into the models folder of a hive",
        param: "model"
      })
    )
  }
  if (/^(hf|ollama|https|rbee):/.test(name)) return Result.succeed(name)
  const [, hub] = /^(?:hf\.co|huggingface\.co)\/(.+)$/.exec(name) ?? []
  return Result.succeed(hub === undefined ? `ollama:${name}` : `hf:${hub}`)
}

const line = (value: object) => `${JSON.stringify(value)}\n`

const lineOf = ({ json, kind }: LoggedEvent, name: string, jobId: string): string => {
  switch (kind) {
    case "narration":
      return Option.match(readNarration(json), {
        onNone: () => "",
        onSome: ({ message }) => line({ status: message })
      })
    case "line":
      return Option.match(readText(json), { onNone: () => "", onSome: ({ text }) => line({ status: text }) })
    case "progress":
      // Clients identify progress bars by the digest, and display parts of it like a SHA-256 digest.
      return Option.match(readProgress(json), {
        onNone: () => "",
        onSome: ({ current, total }) =>
          line({ status: `pulling ${name}`, digest: jobId, total, completed: current })
      })
    case "done":
      return line({ status: "success" })
    case "failed":
      return Option.match(readFailure(json), {
        onNone: () => line({ error: "The download failed" }),
        onSome: ({ error }) => line({ error: error.message })
      })
    case "cancelled":
      return line({ error: "The download was cancelled" })
    default:
      return ""
  }
}

const maxSilentBatches = 10

// An empty batch means about a second without an event.
const hasBegun = (events: ReadonlyArray<LoggedEvent>) =>
  events.some(
    ({ json, kind }) =>
      kind === "progress" ||
      kind === "line" ||
      kind === "result" ||
      (kind === "narration" && json.includes(downloadAction))
  )

const downloadAction = '"action":"model_download"'

/**
 * The JSON lines for the job that downloads the model. Fails before the first line if the job fails before the download has
 * begun; after about ten seconds without an event the download counts as begun.
 */
export const pullLines = Effect.fnUntraced(function* (
  name: string,
  jobId: string,
  events: Stream.Stream<ReadonlyArray<LoggedEvent>>
) {
  const pull = yield* scopedPull(events)
  const first: Array<LoggedEvent> = []
  let silent = 0
  const untilBegun: Effect.Effect<void, JobFailed | Cause.Done> = Effect.flatMap(pull, (batches) => {
    for (const batch of batches) {
      first.push(...batch)
      if (batch.length === 0) silent++
    }
    const end = first.find(({ kind }) => isEnd(kind))
    if (end !== undefined && end.kind !== "done" && !hasBegun(first)) return jobFailure(end)
    return end !== undefined || hasBegun(first) || silent >= maxSilentBatches ? Effect.void : untilBegun
  })
  yield* Pull.catchDone(untilBegun, () => Effect.void)
  return Stream.make([...first]).pipe(
    Stream.concat(fromScopedPull(Effect.succeed(pull))),
    Stream.map((batch) => batch.map((event) => lineOf(event, name, jobId)).join("")),
    (lines) => Stream.concat(Stream.make(line({ status: "pulling manifest" })), lines),
    Stream.encodeText
  )
})
