import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Queen } from "/work/main/src/queen/Queen.ts"
import { serve } from "/work/main/src/job/Daemon.ts"
serve(Queen.layerWith({ "queen.port": "18500" })).pipe(NodeRuntime.runMain)
