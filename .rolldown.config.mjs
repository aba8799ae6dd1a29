import { chmodSync, cpSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

// An import of node:http touches all that it exports, and so loads Node's own fetch, which takes longer than all else
// that a short command does. As a CommonJS module each export is read when it is used.
const lazyHttp = {
  name: "lazy-http",
  resolveId: (id) => (id === "node:http" || id === "http" ? "\0lazy-http.cjs" : undefined),
  load: (id) =>
    id === "\0lazy-http.cjs" ? `module.exports = process.getBuiltinModule("node:http")` : undefined
}

// The script of the page /docs is larger than the whole command line; it is loaded when the page is asked for.
const pageScript = {
  name: "page-script",
  resolveId: (id) =>
    id.endsWith("/httpApiSwagger.js") ? { id: "./httpApiSwagger.js", external: true } : undefined,
  writeBundle: () => {
    const effect = dirname(fileURLToPath(import.meta.resolve("effect/package.json")))
    cpSync(join(effect, "dist/http-api/internal/httpApiSwagger.js"), "dist/httpApiSwagger.js")
  }
}

const copyModel = {
  name: "copy-model",
  writeBundle: () => cpSync("src/worker/tiny", "dist/worker/tiny", { recursive: true })
}

// npx runs the file as it is when it has linked this folder before.
const executable = {
  name: "executable",
  writeBundle: () => chmodSync("dist/bin.js", 0o755)
}

export const external = ["node-llama-cpp"]

// One file each for the command line (bin.js only loads it) and for the worker: a bundled start takes a fifth of an unbundled one.
const bundle = (entry, plugins) => ({
  input: `src/${entry}.ts`,
  platform: "node",
  external,
  plugins,
  output: {
    file: `dist/${entry}.js`,
    format: "esm",
    codeSplitting: false,
    minify: { compress: true, mangle: true, codegen: true }
  }
})

export default [
  bundle("cli", [lazyHttp, pageScript, executable]),
  bundle("worker/main", [lazyHttp, copyModel])
]
