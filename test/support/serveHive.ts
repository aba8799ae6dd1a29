import { NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { hiveLayer } from "./hive.ts"

// A hive as a process of its own: `node serveHive.ts <home> [<id>]`.
const [home = "", id = "test"] = process.argv.slice(2)

NodeRuntime.runMain(Layer.launch(hiveLayer({ home, id })))
