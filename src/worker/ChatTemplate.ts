import type * as Jinja from "@huggingface/jinja"
import type { LlamaModel, Token } from "node-llama-cpp"
import { BadRequest } from "./errors.ts"

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: string
  readonly content: string
}

// A private-use character frames the place of a message's text, so that no text of a template looks like one.
const frame = "\uE0FB"
const place = new RegExp(`${frame}(\\d+)${frame}`)

const refused = (reason: string, code: string) => new BadRequest({ reason, param: "messages", code })

/** Renders a template. Whatever the template raises repeats with the same messages, so the request is at fault. */
const render = (jinja: typeof Jinja, source: string, values: Parameters<Jinja.Template["render"]>[0]) => {
  try {
    return new jinja.Template(source).render(values)
  } catch (cause) {
    throw refused(cause instanceof Error ? cause.message : String(cause), "chat_template_error")
  }
}

/**
 * The tokens of a conversation by the model's own template, up to where the answer begins, or with `goesOn` to the end
 * of the last message's text. The template's text may hold control tokens; the messages' text is tokenized apart and
 * never does. Throws `BadRequest` with the template's own sentence where the template refuses the messages, and where
 * there is no template.
 */
export const chatTokens = (
  jinja: typeof Jinja,
  model: LlamaModel,
  messages: ReadonlyArray<ChatMessage>,
  goesOn: boolean
): ReadonlyArray<Token> => {
  const source = model.fileInfo.metadata.tokenizer?.chat_template
  if (source === undefined) {
    throw refused("The model has no chat template; use /v1/completions", "no_chat_template")
  }
  const rendered = render(jinja, source, {
    messages: messages.map(({ role }, i) => ({ role, content: `${frame}${i}${frame}` })),
    add_generation_prompt: !goesOn,
    bos_token: model.tokens.bosString ?? "",
    eos_token: model.tokens.eosString ?? ""
  })
  const parts = rendered.split(place)
  // What stands behind the last message would end it.
  return (goesOn ? parts.slice(0, -1) : parts).flatMap((part, i) =>
    i % 2 === 0 ? model.tokenize(part, true) : model.tokenize(messages[Number(part)]?.content ?? "", false)
  )
}
