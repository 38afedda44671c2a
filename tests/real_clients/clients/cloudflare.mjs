// Cloudflare's SDK for JavaScript: the gateway's logs.
import Cloudflare from "cloudflare";
import { run } from "./run.mjs";

const { ACCOUNT_ID: account_id, GATEWAY_ID, GATEWAY_URL, CLOUDFLARE_API_TOKEN } = process.env;
const { logs } = new Cloudflare({
  apiToken: CLOUDFLARE_API_TOKEN,
  baseURL: `${GATEWAY_URL}/client/v4`,
  maxRetries: 0,
}).aiGateway;

await run({
  list: async (query) => {
    const entries = [];
    for await (const { id, model, provider, success } of logs.list(GATEWAY_ID, { account_id, ...query })) {
      entries.push({ id, model, provider, success });
    }
    return entries;
  },
  get: async ({ id }) => {
    const { model, tokens_in, tokens_out, metadata } = await logs.get(id, { account_id, gateway_id: GATEWAY_ID });
    return { model, tokens_in, tokens_out, metadata };
  },
  bodies: async ({ id }) => ({
    request: await logs.request(id, { account_id, gateway_id: GATEWAY_ID }),
    response: await logs.response(id, { account_id, gateway_id: GATEWAY_ID }),
  }),
  edit: async ({ id, ...feedback }) => {
    await logs.edit(id, { account_id, gateway_id: GATEWAY_ID, ...feedback });
    return logs.get(id, { account_id, gateway_id: GATEWAY_ID });
  },
  remove: async ({ id }) => {
    await logs.delete(GATEWAY_ID, { account_id, filters: [{ key: "id", operator: "eq", value: [id] }] });
    const left = [];
    for await (const entry of logs.list(GATEWAY_ID, { account_id })) left.push(entry.id);
    return left;
  },
});
