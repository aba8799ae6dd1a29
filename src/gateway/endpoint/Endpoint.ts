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

/** The error format of an API. */
export interface Format {
  /** The vendor of the API. */
  readonly api: string
  /** The JSON body of an error response. */
  readonly error: (failure: GatewayError) => unknown
}

/** A request with an invalid field. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()(
  "InvalidRequest",
  { reason: Schema.String, param: Schema.optionalKey(Schema.String) },
  { httpApiStatus: 400 }
) {
  override get message() {
    return this.reason
  }
}

/** Metadata of a response. Times in milliseconds since 1970. */
export interface ResponseContext {
  readonly jobId: string
  /** The model's name as the client sent it. */
  readonly model: string
  readonly askedAt: number
  readonly now: () => number
  /** The hive and the worker of the request; undefined before a worker is assigned. */
  readonly placement: () => Placement | undefined
}

/** The answer is sent in pieces as the engine writes them. Only the writer may parse a chunk. */
export interface StreamMode {
  readonly _tag: "Stream"
  readonly contentType: string
  /** The text sent after about a second without output; empty for formats without keep-alives. */
  readonly idle: string
  readonly writer: (context: ResponseContext) => AnswerWriter
}

/** The answer is sent when it is complete, as one JSON document. */
export interface CompleteMode {
  readonly _tag: "Complete"
  readonly toJson: (answer: EngineAnswer, context: ResponseContext) => Body
  /** The answer for a failure that counts as one; undefined for other failures. */
  readonly fromFailure?: (failure: GatewayError) => Body | undefined
}

/** The answer is the engine's own document, such as embeddings. */
export interface DocumentMode {
  readonly _tag: "Document"
  /** The client's version of the engine's document; undefined if the document is invalid. */
  readonly toText: (document: string, context: ResponseContext) => string | undefined
}

/** How an answer is sent to the client. */
export type ResponseMode = StreamMode | CompleteMode | DocumentMode

/** A client's request in the engines' format, and how to write its answer. */
export interface EndpointRequest {
  /** The model's name as the client sent it. */
  readonly model: string
  readonly api: CompletionApi
  /** The engine's request body in OpenAI's format; the hive adds `model`, `stream` and `stream_options`. */
  readonly body: Body
  readonly reply: ResponseMode
  /** Fields of the engine's body for which neither the request nor the model has a value. */
  readonly defaults?: Body
  /** Minimum context length of the worker in tokens, limited to the maximum of the model. */
  readonly contextSize?: number | undefined
  /** The request only counts the tokens of its prompt, which any worker of the model can do. */
  readonly isCount?: boolean
  /** The request only loads the model. */
  readonly isLoad?: boolean
  /** Stops the model's idle workers: after the answer, or instead of generating one. */
  readonly unload?: "after" | "instead"
  /** A sentence for each omitted part of the request; the job's log reports them. */
  readonly notes?: ReadonlyArray<string>
}

/**
 * The steps of reading a request, for `Result.gen`. Declare generator functions at module level, not per request: V8 keeps
 * a map for each one that has run, and with it the function's closure, until the next full garbage collection.
 */
export type Reading<A> = Generator<Result.Result<unknown, InvalidRequest>, A, never>

/** An endpoint whose responses come from an engine. */
export interface Endpoint {
  readonly path: `/${string}`
  readonly format: Format
  /** The API's names for fields of the engine's body, if they differ. */
  readonly fieldNames?: Readonly<Record<string, string>>
  readonly read: (body: Body) => Result.Result<EndpointRequest, InvalidRequest>
}
