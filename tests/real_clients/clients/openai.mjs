// OpenAI's SDK for JavaScript.
import OpenAI from "openai";
import { run } from "./run.mjs";

const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Get the weather of a city.",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

const client = () =>
  new OpenAI({
    apiKey: process.env.API_KEY,
    baseURL: process.env.BASE_URL,
    maxRetries: 0,
    defaultHeaders: { "cf-aig-authorization": `Bearer ${process.env.GATEWAY_TOKEN}` },
  });

await run({
  chat: async (body) => {
    const { data, response } = await client().chat.completions.create({ messages, ...body }).withResponse();
    const { content, reasoning_content } = data.choices[0].message;
    return { content, reasoning_content, model: data.model, step: response.headers.get("cf-aig-step") };
  },
  stream: async (body) => {
    const stream = client().chat.completions.stream({ messages, ...body, stream_options: { include_usage: true } });
    const deltas = [];
    for await (const chunk of stream) deltas.push(chunk.choices[0]?.delta.content ?? "");
    const { choices, usage } = await stream.finalChatCompletion();
    return { deltas, content: choices[0].message.content, hasUsage: usage.total_tokens > 0 };
  },
  tools: async (body) => {
    const runner = client().chat.completions.runTools({
      messages,
      ...body,
      tools: tools.map((tool) => ({
        ...tool,
        function: { ...tool.function, parse: JSON.parse, function: ({ city }) => `18 degrees in ${city}` },
      })),
    });
    const text = await runner.finalContent();
    return { text, roles: runner.messages.map(({ role }) => role) };
  },
  models: async () => (await client().models.list()).data.map(({ id }) => id),
  // As Cloudflare's page on DeepSeek has it, which leaves out the gateway token:
  // https://developers.cloudflare.com/ai-gateway/usage/providers/deepseek/
  page_example: async () => {
    const env = { DEEPSEEK_TOKEN: process.env.API_KEY };
    const openai = new OpenAI({
      apiKey: env.DEEPSEEK_TOKEN,
      baseURL: process.env.BASE_URL,
    });
    const chatCompletion = await openai.chat.completions.create({
      model: "deepseek-chat",
      messages: [{ role: "user", content: "What is Cloudflare?" }],
    });
    return chatCompletion.choices[0].message;
  },
});
