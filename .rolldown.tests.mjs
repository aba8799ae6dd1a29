import { external, lazyHttp } from "./.rolldown.config.mjs"

const support = (name) => `test/support/${name}.ts`

/** The programs that tests start again and again: bundled, each takes half a second of CPU time less to start. */
export default {
  input: {
    worker: "src/worker/main.ts",
    slowWorker: support("slowWorker"),
    slowerWorker: support("slowerWorker"),
    slowLoader: support("slowLoader"),
    serveHive: support("serveHive")
  },
  platform: "node",
  external,
  plugins: [lazyHttp],
  output: { dir: "test/.programs", format: "esm", cleanDir: true }
}
