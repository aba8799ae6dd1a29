import * as Predicate from "effect/Predicate"
import type { CreatedModel } from "../../operation/CreatedModel.ts"
import { contextOf, samplingFields } from "../../operation/ModelParameters.ts"
import type { ServedModel } from "../upstream/Upstream.ts"
import type { Body, EndpointRequest } from "./Endpoint.ts"

const isInstruction = (message: unknown) =>
  Predicate.isReadonlyObject(message) && (message["role"] === "system" || message["role"] === "developer")

/** The conversation after the model's own messages, and after its system text if the client sent none. */
const withInstructions = (
  messages: ReadonlyArray<unknown>,
  { messages: own = [], system = "" }: CreatedModel
) => {
  const [first] = messages
  if (isInstruction(first)) return [first, ...own, ...messages.slice(1)]
  const instructions = system === "" ? [] : [{ role: "system", content: system }]
  return [...instructions, ...own, ...messages]
}

/**
 * Adds the defaults of the model: parameters that the request lacks come from the model, then from the endpoint. A raw
 * prompt gets no system text.
 */
export const withModelDefaults = (
  request: EndpointRequest,
  { facts: { created, engines = [] } }: ServedModel
): EndpointRequest => {
  const { api, body, defaults } = request
  const embedsOnly =
    engines.length > 0 && engines.every(({ capabilities }) => capabilities.completions === false)
  // The smallest request to a model without completions.
  if (request.isLoad === true && embedsOnly) return { ...request, api: "embeddings", body: { input: "." } }
  if (api === "embeddings" || (defaults === undefined && created === undefined)) return request
  const own: Body = created === undefined ? {} : samplingFields(created.parameters)
  const { max_tokens: limit, ...rest } = own
  const hasLimit = body["max_completion_tokens"] !== undefined && body["max_completion_tokens"] !== null
  const { messages } = body
  return {
    ...request,
    contextSize: request.contextSize ?? contextOf(created?.parameters),
    body: {
      ...defaults,
      ...rest,
      ...(hasLimit || limit === undefined ? {} : { max_tokens: limit }),
      ...withoutNull(body),
      ...(created === undefined || !Array.isArray(messages)
        ? {}
        : { messages: withInstructions(messages, created) })
    }
  }
}

const withoutNull = (body: Body): Body =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
