/** The public names of `@stet/ollama`. */
export { ollama, type OllamaOptions } from "./ollama.ts";
