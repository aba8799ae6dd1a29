import { external } from "./.rolldown.config.mjs"

const program = (name, input = `test/support/${name}.ts`) => ({
  input,
  platform: "node",
  external,
  // One file each: the names that Undici exports are lost between chunks.
  output: { file: `test/.programs/${name}.js`, format: "esm", codeSplitting: false }
})

/** The programs that tests start again and again: bundled, each takes half a second of CPU time less to start. */
export default [
  program("worker", "src/worker/main.ts"),
  ...["slowWorker", "slowerWorker", "slowLoader", "serveHive"].map((name) => program(name))
]
