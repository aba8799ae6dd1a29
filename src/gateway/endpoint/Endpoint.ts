import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionApi } from "../../operation/fields.ts"
import type { Placement } from "../upstream/Upstream.ts"
import type { AnswerWriter } from "./AnswerWriter.ts"
import type { EngineAnswer } from "./EngineAnswer.ts"
import type { GatewayError } from "./GatewayError.ts"

/** The fields of a request's body. */
export interface Body {
  readonly [field: string]: unknown
}

/** How a kind of client wants its errors. */
export interface Format {
  /** Whose API it is. */
  readonly api: string
  /** The body of an error's answer, to be written as JSON. */
  readonly error: (failure: GatewayError) => unknown
}

/** A request whose fields are not as they must be. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()(
  "InvalidRequest",
  { reason: Schema.String, param: Schema.optionalKey(Schema.String) },
  { httpApiStatus: 400 }
) {
  override get message() {
    return this.reason
  }
}

/** What an answer says of itself. Times in milliseconds since 1970. */
export interface ResponseContext {
  readonly jobId: string
  /** The model, as the client called it. */
  readonly model: string
  readonly askedAt: number
  readonly now: () => number
  /** Where it runs, once a worker was found. */
  readonly placement: () => Placement | undefined
}

/** How an answer reaches the client. */
export type ResponseMode =
  /** As it comes. A chunk of the engine is not parsed unless the writer does so. */
  | {
      readonly _tag: "Stream"
      readonly contentType: string
      /** What is sent when nothing was sent for most of a second; empty for formats that have nothing of the kind. */
      readonly idle: string
      readonly writer: (about: ResponseContext) => AnswerWriter
    }
  /** When it is whole; the result is written as JSON. */
  | {
      readonly _tag: "Whole"
      readonly toJson: (answer: EngineAnswer, about: ResponseContext) => Body
      /** The answer that a failure is, too; undefined for failures that are none. */
      readonly fromFailure?: (failure: GatewayError) => Body | undefined
    }
  /** The engine's own document, such as that of embeddings; `toText` gives what the client gets, if it can be read. */
  | {
      readonly _tag: "Document"
      readonly toText: (document: string, about: ResponseContext) => string | undefined
    }

/** A request of a client in the engines' words, and how its answer is written. */
export interface EndpointRequest {
  /** As the client calls it. */
  readonly model: string
  readonly api: CompletionApi
  /** What the engine gets, in OpenAI's words; the hive puts `model`, `stream` and `stream_options` in. */
  readonly body: Body
  readonly reply: ResponseMode
  /** What the engine gets where neither the request nor the model says otherwise. */
  readonly defaults?: Body
  /** Tokens that the worker's context must have at least, as far as the model has so many. */
  readonly contextSize?: number | undefined
  /** The request only counts the tokens of its prompt, which any worker of the model can. */
  readonly isCount?: boolean
  /** The request only wants the model to be loaded. */
  readonly isLoad?: boolean
  /** The model's idle workers are stopped: after the answer, or instead of asking for one. */
  readonly unload?: "after" | "instead"
  /** What of the request is left out, one sentence each; the job's log reports it. */
  readonly notes?: ReadonlyArray<string>
}

/**
 * The steps of reading a request, for `Result.gen`. A generator function is written once, not anew for each request: V8
 * keeps a map for each one that has run, and with it all that the function can see, until the next full collection.
 */
export type Reading<A> = Generator<Result.Result<unknown, InvalidRequest>, A, never>

/** An endpoint that answers with what an engine writes. */
export interface Endpoint {
  readonly path: `/${string}`
  readonly format: Format
  /** The client's names for the fields of the engine's body, where they differ. */
  readonly fieldNames?: Readonly<Record<string, string>>
  readonly read: (body: Body) => Result.Result<EndpointRequest, InvalidRequest>
}
