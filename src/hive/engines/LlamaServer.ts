import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Capabilities, onlyCapabilities } from "../../operation/Capabilities.ts"
import type { ProgramSetting } from "../../settings/EngineSettings.ts"
import type { Backend } from "../devices/Backend.ts"
import type { ModelTraits } from "../gguf/GgufTraits.ts"
import { type Engine, ggufOnly, onlyDevice } from "./Engine.ts"
import type { WorkerSpec } from "./WorkerSpec.ts"

/** The prefixes of device names in the output of `--list-devices`, such as `CUDA0` and `Vulkan1`, with their backends. */
const prefixes: ReadonlyArray<readonly [prefix: string, backend: Backend]> = [
  ["CUDA", "cuda"],
  ["ROCm", "rocm"],
  ["HIP", "rocm"],
  ["Vulkan", "vulkan"],
  ["Metal", "metal"],
  ["MTL", "metal"]
]

/** The backends that the program was built with, from the output of `--list-devices`. */
export const backendsIn = (listed: string): ReadonlyArray<Backend> => {
  const found = prefixes.filter(([prefix]) => new RegExp(`^\\s*${prefix}\\d+:`, "m").test(listed))
  return [...new Set(found.map(([, backend]) => backend)), "cpu"]
}

// With `onlyDevice`, CUDA and HIP show a single GPU, which has the number 0.
const deviceOf = ({ backend, device }: WorkerSpec, listed: string) => {
  if (backend === "cpu") return "none"
  const prefix = prefixes.find(
    ([prefix, known]) => known === backend && new RegExp(`^\\s*${prefix}\\d+:`, "m").test(listed)
  )?.[0]
  return `${prefix ?? "CUDA"}${backend === "cuda" || backend === "rocm" ? 0 : device}`
}

/**
 * The loading progress in the log: llama.cpp prints one dot for each further percent of the model that is loaded
 * (`llama_model_load_from_file_impl` in llama.cpp).
 */
export const loadedIn = (line: string) => (/^\.{1,100}$/.test(line) ? line.length : undefined)

const Slots = Schema.fromJsonString(Schema.Array(Schema.Struct({ is_processing: Schema.Boolean })))
const readSlots = Schema.decodeUnknownOption(Slots)

/** How many slots work on a request, from the body of `/slots`. */
export const processingIn = (slots: string) =>
  Option.getOrUndefined(
    Option.map(readSlots(slots), (all) => all.filter((slot) => slot.is_processing).length)
  )

// It notices at the end of one batch that the client has left, and stops at the end of the next: after at most 256 tokens.
const batchSize = "128"
const oneBatch = new Set(["--embedding", "--embeddings", "--rerank", "--reranking"])

const templateFlags = ["--chat-template", "--chat-template-file"]

const has = ({ args = [] }: ProgramSetting, ...flags: ReadonlyArray<string>) =>
  args.some((arg) => flags.some((flag) => arg === flag || arg.startsWith(`${flag}=`)))

/**
 * What a worker can do, from its flags: embeddings only with a flag for them. A model without a chat template chats with a
 * common one. With a chat template that does not support tools, llama-server ignores the request's tools.
 */
const capabilitiesWith =
  (setting: ProgramSetting) =>
  ({ purpose, reasons, tools }: ModelTraits): Capabilities => {
    if (setting.capabilities !== undefined) return onlyCapabilities(setting.capabilities)
    const writes = purpose === "text"
    return {
      chat: writes,
      completions: writes,
      tools: writes && !has(setting, "--no-jinja") && (tools || has(setting, ...templateFlags)),
      embeddings: purpose === "embeddings" || has(setting, "--embedding", "--embeddings"),
      rerank: has(setting, "--rerank", "--reranking"),
      images: has(setting, "--mmproj", "-mm", "--mmproj-url", "-mmu"),
      json_schema: writes,
      reasoning: writes && reasons
    }
  }

/**
 * llama.cpp's own server. Its flags are documented in tools/server/README.md of ggml-org/llama.cpp. Its context is shared
 * by all slots.
 */
export const makeLlamaServer = (
  name: string,
  program: string | undefined,
  listed: string,
  setting: ProgramSetting
): Engine => ({
  name,
  cancellation: { _tag: "Disconnect", activity: { path: "/slots", running: processingIn } },
  // During prefill it notices a closed connection only when it writes; with this it writes after each batch.
  streamFields: { return_progress: true },
  backends: program === undefined ? [] : backendsIn(listed),
  install: `install llama.cpp so that llama-server is on the PATH, or set program in [engines.${name}] of config.toml`,
  ...(program === undefined ? { missing: "llama-server is not on the PATH" } : {}),
  readyPath: "/health",
  loaded: loadedIn,
  capabilities: capabilitiesWith(setting),
  refuses: ggufOnly,
  chatTemplates: true,
  command: (spec, port) => ({
    command: program ?? "llama-server",
    args: [
      "--model",
      spec.modelPath,
      "--alias",
      spec.model,
      "--host",
      "127.0.0.1",
      "--port",
      String(port),
      "--ctx-size",
      String(spec.contextSize * spec.parallel),
      "--parallel",
      String(spec.parallel),
      "--threads",
      String(spec.threads),
      "--device",
      deviceOf(spec, listed),
      ...(spec.backend === "cpu" ? [] : ["--gpu-layers", "999"]),
      ...(spec.chatTemplate === undefined ? [] : ["--jinja", "--chat-template-file", spec.chatTemplate]),
      ...(spec.capabilities?.embeddings === true && !has(setting, "--embedding", "--embeddings")
        ? ["--embeddings"]
        : []),
      // An embedding model evaluates each text in one batch.
      ...(spec.capabilities?.embeddings === true || setting.args?.some((word) => oneBatch.has(word)) === true
        ? []
        : ["--batch-size", batchSize]),
      ...(setting.args ?? [])
    ],
    env: { ...onlyDevice(spec), ...setting.env }
  })
})
