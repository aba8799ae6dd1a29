import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { temporaryFolder } from "../support/rbee.ts"

const root = new URL("../..", import.meta.url).pathname

const inFolder = (cwd: string, command: string, ...args: ReadonlyArray<string>) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

const application = `
import { Effect, Layer, Stream } from "effect"
import { JobEvent } from "rbee/job"
import { WorkerList } from "rbee/operation"
import { HiveDirectory, HiveForwarder, Queen } from "rbee/queen"
import { Settings } from "rbee/settings"
import { gatewayRoutes, Upstream } from "rbee/gateway"
import { Hive } from "rbee/hive"
import { RbeeLanguageModel } from "rbee/ai"
import { fakeForwarder } from "rbee/testing"

const forwarder = HiveForwarder.layer.pipe(
  Layer.provide([HiveDirectory.layerMemory({ atlas: "http://127.0.0.1:9" }), Settings.layerDefaults({ timeouts: { connect: "2 seconds" } })])
)
const program = HiveForwarder.use((forwarder) =>
  Stream.runCollect(forwarder.forward(new WorkerList({ hive_id: "atlas" })))
).pipe(Effect.provide(forwarder), Effect.flip)

const error = await Effect.runPromise(program)
/** Exported, so that the compiler must be able to name its types. */
export const queen = Queen.layer
export const hive = Hive.layerWith({ "hive.id": "atlas" })
export const forwarding = HiveForwarder.layer
export const routes = gatewayRoutes.pipe(Layer.provide(Layer.mock(Upstream)({ complete: () => () => Effect.void })))

console.log(error._tag, typeof Queen.layer, typeof Hive.layer, typeof fakeForwarder, typeof RbeeLanguageModel.layer, JobEvent.token("x").kind, Layer.isLayer(routes))
`

describe("the packed tarball", () => {
  it.live(
    "works where it is installed: its rbee runs, and an application imports the layers",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        inFolder(root, "npm", "pack", "--ignore-scripts", "--pack-destination", folder)
        const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "")
        assert.isBelow(statSync(tarball).size, 12_000_000)

        writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", private: true }))
        const peers = [
          "effect@4.1.0",
          "@effect/platform-node@4.1.0",
          "typescript@5.9.3",
          "@types/node@24.10.1"
        ]
        const installed = spawnSync("npm", ["install", "--no-audit", "--no-fund", tarball, ...peers], {
          cwd: folder,
          encoding: "utf8"
        })
        assert.strictEqual(installed.status, 0, installed.stderr)
        assert.strictEqual(installed.stderr, "")
        const version = inFolder(
          folder,
          process.execPath,
          join("node_modules", "rbee", "dist", "bin.js"),
          "--version"
        )
        assert.match(version, /^rbee v\d/)

        writeFileSync(join(folder, "app.ts"), application)
        const options = {
          strict: true,
          module: "NodeNext",
          target: "ES2024",
          declaration: true,
          emitDeclarationOnly: true,
          outDir: "types",
          skipLibCheck: true,
          types: ["node"]
        }
        writeFileSync(
          join(folder, "tsconfig.json"),
          JSON.stringify({ compilerOptions: options, files: ["app.ts"] })
        )
        inFolder(folder, process.execPath, join("node_modules", "typescript", "bin", "tsc"))
        assert.strictEqual(
          inFolder(folder, process.execPath, "app.ts").trim(),
          "ConnectionFailed object object function function token true"
        )
      }),
    180_000
  )
})
