import { NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { hiveLayer } from "./hive.ts"
import { workerProgram } from "./programs.ts"

// A hive as a process of its own:
// `node serveHive.js <home> [<id> [<url of its queen> [<program of its workers> [<port>]]]]`.
const [home = "", id = "test", queenUrl = "http://127.0.0.1:9", worker = workerProgram, port = "0"] =
  process.argv.slice(2)

NodeRuntime.runMain(Layer.launch(hiveLayer({ home, id, queenUrl, worker, port: Number(port) })))
