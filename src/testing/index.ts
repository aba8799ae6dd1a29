export * from "./FakeHive.ts"
export * from "./fakeForwarder.ts"
export * from "./fakeHttpClient.ts"
export * from "./Script.ts"
