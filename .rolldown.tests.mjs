import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { external } from "./.rolldown.config.mjs"

const folder = "test/.programs"

const program = (name, input = `test/support/${name}.ts`) => ({
  input,
  platform: "node",
  external,
  // One file each: the names that Undici exports are lost between chunks.
  output: { file: `${folder}/${name}.js`, format: "esm", codeSplitting: false }
})

// node-llama-cpp loads its binary in a second Node process first, to see whether that crashes: a third of the CPU time that
// a worker takes to start. The machine of the tests has a binary that works; the workers in dist load the package as it is.
const untested = {
  name: "untested",
  load: (id) =>
    id.endsWith("/bindings/utils/testBindingBinary.js")
      ? "export const testBindingBinary = async () => true"
      : undefined
}

// The package finds its own files beside its modules.
const inPlace = {
  name: "in-place",
  transform: (code, id) =>
    id.includes("/node-llama-cpp/dist/") && code.includes("import.meta.url")
      ? code.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(id).href))
      : undefined
}

const manifest = {
  name: "manifest",
  writeBundle: ({ file }) =>
    writeFileSync(
      join(dirname(file), "package.json"),
      JSON.stringify({ name: "node-llama-cpp", type: "module", exports: "./index.js" })
    )
}

/** The engine, where the programs beside it find it before the installed one. */
const engine = {
  input: fileURLToPath(import.meta.resolve("node-llama-cpp")),
  platform: "node",
  external: [/^@node-llama-cpp\//, /^@reflink\//],
  plugins: [untested, inPlace, manifest],
  output: {
    file: `${folder}/node_modules/node-llama-cpp/index.js`,
    format: "esm",
    codeSplitting: false
  }
}

/** The programs that tests start again and again: bundled, each takes half a second of CPU time less to start. */
export default [
  program("worker", "src/worker/main.ts"),
  ...["slowWorker", "slowerWorker", "slowLoader", "serveHive"].map((name) => program(name)),
  engine
]
