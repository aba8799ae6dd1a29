// The slow worker, which also takes its time to load, as a large model does.
const loadMillis = 4_000
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, loadMillis)

await import("./slowWorker.ts")
