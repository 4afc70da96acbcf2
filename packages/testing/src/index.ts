export { type StorageSuiteOptions, testStorageProvider } from "./conformance/storage/index.ts";
