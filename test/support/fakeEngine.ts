// A fake of llama-server or vLLM, run as a process: its first argument is a file with the options of the real one, and
// what follows is the command line that the real one would get. It refuses what the real one does not know, says that it
// loads for a moment, and then serves the model under its name.
import { readFileSync } from "node:fs"
import { createServer } from "node:http"

const [optionsFile = "", ...given] = process.argv.slice(2)

const known = new Map<string, boolean>()
for (const line of readFileSync(optionsFile, "utf8").split("\n")) {
  if (line.startsWith("#") || line === "") continue
  const words = line.split(" ")
  const takesValue = !(words.at(-1) ?? "").startsWith("-")
  for (const word of words.filter((word) => word.startsWith("-"))) known.set(word, takesValue)
}

const refuse = (sentence: string): never => {
  process.stderr.write(`error: ${sentence}\n`)
  process.exit(2)
}

const values = new Map<string, string>()
const positional: Array<string> = []
for (let i = 0; i < given.length; i++) {
  const word = given[i] ?? ""
  if (!word.startsWith("-")) {
    positional.push(word)
    continue
  }
  const takesValue = known.get(word)
  if (takesValue === undefined) refuse(`unknown argument: ${word}`)
  if (takesValue === false) {
    values.set(word, "")
    continue
  }
  const value = given[++i]
  if (value === undefined) refuse(`${word} needs a value`)
  values.set(word, value ?? "")
}

if (values.has("--list-devices")) {
  process.stdout.write("Available devices:\n  CUDA0: Fast One (24576 MiB, 24000 MiB free)\n")
  process.exit(0)
}

const model = values.get("--model") ?? positional[1] ?? refuse("no model")
const name = values.get("--alias") ?? values.get("--served-model-name") ?? model
if (values.get("--host") !== "127.0.0.1") refuse("it must listen on loopback")
if (!readFileSync(model).subarray(0, 4).equals(Buffer.from("GGUF"))) refuse(`${model} is no GGUF file`)

process.stderr.write("Loading safetensors checkpoint shards:  50% Completed | 1/2\n")
let loading = 3
const json = (body: unknown) => JSON.stringify(body)
createServer((request, response) => {
  response.setHeader("content-type", "application/json")
  if (request.url === "/health") {
    if (loading-- > 0) return response.writeHead(503).end(json({ error: { message: "Loading model" } }))
    return response.end(json({ status: "ok" }))
  }
  if (request.url === "/v1/models") return response.end(json({ data: [{ id: name, object: "model" }] }))
  if (request.url === "/v1/completions") {
    response.setHeader("content-type", "text/event-stream")
    const choice = (text: string, finish_reason: string | null) =>
      `data: ${json({ choices: [{ index: 0, text, finish_reason }] })}\n\n`
    return response.end(
      `${choice(json({ args: given, cuda: process.env["CUDA_VISIBLE_DEVICES"] ?? null }), null)}${choice("", "stop")}data: [DONE]\n\n`
    )
  }
  return response.writeHead(404).end(json({ error: { message: "nothing here" } }))
}).listen(Number(values.get("--port")), "127.0.0.1")
