#!/usr/bin/env node
import { enableCompileCache } from "node:module"

// Most of a short command's time would go into compiling the bundle.
enableCompileCache()
const { run } = await import("./cli.ts")
run(process.argv.slice(2))
