import type { Capabilities } from "../../operation/Capabilities.ts"
import type { Backend } from "../devices/Backend.ts"
import type { ModelTraits } from "../gguf/GgufTraits.ts"
import { type Engine, ggufOnly, onlyDevice } from "./Engine.ts"

/** The loading progress in the worker's log: `Loaded 40% of the model`. */
export const loadedIn = (line: string) => {
  const percent = /^Loaded (\d{1,3})% of the model$/.exec(line)?.[1]
  return percent === undefined ? undefined : Number(percent)
}

const capabilities = ({ chatTemplate, purpose, reasons }: ModelTraits): Capabilities => {
  const writes = purpose === "text"
  return {
    chat: writes && chatTemplate,
    completions: writes,
    embeddings: purpose !== "rerank",
    rerank: false,
    tools: false,
    images: false,
    json_schema: writes,
    reasoning: writes && reasons
  }
}

const gpuBackends: ReadonlyArray<Backend> = ["cuda", "vulkan", "metal"]

/**
 * Has the worker sample one sequence at a time. node-llama-cpp 3.21.1 samples the sequences of a batch at the same time on
 * libuv's threads, and llama.cpp reorders their logits with the first access (`llama_context::output_reorder`), which is not
 * safe between threads: under load, an answer got tokens of another one. Decoding has threads of its own.
 */
export const oneSampler = { UV_THREADPOOL_SIZE: "1" } as const

/**
 * The built-in engine, llama.cpp inside Node. `worker` is its program; `packages` are those in its folder, where names
 * such as `linux-x64-cuda` show a GPU backend.
 */
export const makeLlama = (
  name: string,
  worker: string,
  folder: string,
  packages: ReadonlyArray<string>
): Engine => ({
  name,
  cancellation: { _tag: "Delete" },
  keepsAnswers: true,
  backends: [
    ...gpuBackends.filter((backend) => packages.some((packed) => packed.split("-").includes(backend))),
    "cpu"
  ],
  install: `rbee engine install ${name}`,
  readyPath: "/health",
  loaded: loadedIn,
  capabilities,
  refuses: ggufOnly,
  chatTemplates: true,
  command: (spec, port) => ({
    command: process.execPath,
    args: [
      worker,
      "--model",
      spec.modelPath,
      "--model-id",
      spec.model,
      "--port",
      String(port),
      "--host",
      "127.0.0.1",
      "--ctx-size",
      String(spec.contextSize),
      "--parallel",
      String(spec.parallel),
      "--threads",
      String(spec.threads),
      "--device",
      `${spec.backend === "cpu" ? "cpu" : "gpu"}-${spec.device}`,
      "--engine-dir",
      folder,
      ...(spec.chatTemplate === undefined ? [] : ["--chat-template-file", spec.chatTemplate])
    ],
    env: { ...onlyDevice(spec), ...oneSampler }
  })
})
