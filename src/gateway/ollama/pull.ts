import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { type LoggedEvent, readFailure, readNarration, readProgress, readText } from "../../job/JobEvent.ts"
import { InvalidRequest } from "../Door.ts"

/** The id of a model that is to be pulled: Ollama's own names have no prefix, and a hub's have its host. */
export const pulledId = (name: string): Result.Result<string, InvalidRequest> => {
  if (/^file:/i.test(name)) {
    return Result.fail(
      new InvalidRequest({
        reason: "A file of a machine cannot be pulled; its owner adopts it by rbee model download"
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
      // Clients tell bars apart by the digest, and cut pieces out of it as if it were of sha256.
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

/** What a client of Ollama is told of the job that downloads the model of this name. */
export const pullLines = (name: string, jobId: string, events: Stream.Stream<ReadonlyArray<LoggedEvent>>) =>
  Stream.make(line({ status: "pulling manifest" })).pipe(
    Stream.concat(Stream.map(events, (batch) => batch.map((event) => lineOf(event, name, jobId)).join(""))),
    Stream.encodeText
  )
