// The AI SDK's own provider for DeepSeek, with the gateway's DeepSeek endpoint as its base URL.
import { createDeepSeek } from "@ai-sdk/deepseek";
import { scenarios } from "./ai_sdk_scenarios.mjs";
import { run } from "./run.mjs";

const { BASE_URL, GATEWAY_TOKEN, API_KEY } = process.env;
const deepseek = createDeepSeek({
  apiKey: API_KEY,
  baseURL: BASE_URL,
  headers: { "cf-aig-authorization": `Bearer ${GATEWAY_TOKEN}` },
});

await run(scenarios(({ models }) => deepseek(models[0])));
