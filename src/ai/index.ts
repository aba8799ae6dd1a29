export * as RbeeEmbeddingModel from "./RbeeEmbeddingModel.ts"
export * as RbeeLanguageModel from "./RbeeLanguageModel.ts"
