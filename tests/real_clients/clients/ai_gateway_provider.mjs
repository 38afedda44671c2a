// Cloudflare's provider for the AI SDK, which sends every request to the universal endpoint.
import { createAiGateway } from "ai-gateway-provider";
import { createDeepSeek } from "ai-gateway-provider/providers/deepseek";
import { createUnified } from "ai-gateway-provider/providers/unified";
import { scenarios } from "./ai_sdk_scenarios.mjs";
import "./redirect.mjs";
import { run } from "./run.mjs";

const { ACCOUNT_ID, GATEWAY_ID, GATEWAY_TOKEN, API_KEY } = process.env;
const providers = {
  deepseek: createDeepSeek({ apiKey: API_KEY }),
  // Without a key, for a key that is stored in the gateway.
  stored: createDeepSeek(),
  compat: createUnified({ apiKey: API_KEY }),
};

function model({ models, provider = "deepseek", gateway = GATEWAY_ID, token = GATEWAY_TOKEN, options }) {
  const aigateway = createAiGateway({ accountId: ACCOUNT_ID, gateway, apiKey: token, options });
  return aigateway(models.map((name) => providers[provider](name)));
}

await run(scenarios(model));
