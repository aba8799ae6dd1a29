export * from "./FakeHive.ts"
export * from "./fakeForwarder.ts"
export * from "./fakeHttpClient.ts"
export type { Script } from "./Script.ts"
