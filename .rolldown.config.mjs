import { cpSync } from "node:fs"

// One file each for the command line and for the worker: a bundled start takes a fifth of an unbundled one.
const bundle = (entry, plugins = []) => ({
  input: `src/${entry}.ts`,
  platform: "node",
  external: ["node-llama-cpp", "@huggingface/jinja"],
  plugins,
  output: {
    file: `dist/${entry}.js`,
    format: "esm",
    codeSplitting: false,
    minify: { compress: true, mangle: false, codegen: true }
  }
})

const copyModel = {
  name: "copy-model",
  writeBundle: () => cpSync("src/worker/tiny", "dist/worker/tiny", { recursive: true })
}

export default [bundle("bin"), bundle("worker/main", [copyModel])]
