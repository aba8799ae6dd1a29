import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { ApplicationAccess } from "../../daemon/Access.ts"
import { described, errorsOf, eventStream, open } from "../endpoint/contract.ts"
import { countTokensEndpoint, messagesEndpoint } from "./messages.ts"
import { CountRequest, MessagesRequest } from "./request.ts"

const AnthropicError = Schema.Struct({
  type: Schema.Literal("error"),
  error: open({ type: Schema.String, message: Schema.String })
})

const error = errorsOf(AnthropicError)

const Message = open({
  id: Schema.String,
  type: Schema.Literal("message"),
  role: Schema.Literal("assistant"),
  model: Schema.String,
  content: Schema.Array(open({ type: Schema.String })),
  stop_reason: Schema.NullOr(Schema.String),
  usage: open({ input_tokens: Schema.Int, output_tokens: Schema.Int })
})

const AnthropicGroup = HttpApiGroup.make("anthropic")
  .add(
    HttpApiEndpoint.post("messages", messagesEndpoint.path, {
      payload: MessagesRequest,
      success: [Message, eventStream],
      error
    }).annotateMerge(described("Answer a conversation")),
    HttpApiEndpoint.post("countTokens", countTokensEndpoint.path, {
      payload: CountRequest,
      success: Schema.Struct({ input_tokens: Schema.Int }),
      error
    }).annotateMerge(described("Count the tokens of a conversation"))
  )
  .middleware(ApplicationAccess)
  .annotateMerge(OpenApi.annotations({ title: "Anthropic" }))

/** The endpoints of Anthropic's API. */
export const AnthropicApi = HttpApi.make("rbee").add(AnthropicGroup)
