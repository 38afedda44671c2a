// LangChain.js's own class for DeepSeek.
import { tool } from "@langchain/core/tools";
import { HumanMessage } from "@langchain/core/messages";
import { ChatDeepSeek } from "@langchain/deepseek";
import { run } from "./run.mjs";

const question = "What is the weather in Paris?";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const getWeather = tool(({ city }) => `18 degrees in ${city}`, {
  name: "get_weather",
  description: "Get the weather of a city.",
  schema,
});

const chat = ({ model = "deepseek-flash", ...fields }) =>
  new ChatDeepSeek({
    model,
    apiKey: process.env.API_KEY,
    maxRetries: 0,
    configuration: {
      baseURL: process.env.BASE_URL,
      defaultHeaders: { "cf-aig-authorization": `Bearer ${process.env.GATEWAY_TOKEN}` },
    },
    ...fields,
  });

const whole = (message) => ({
  text: message.text,
  reasoning: message.additional_kwargs.reasoning_content,
  calls: message.tool_calls.map(({ name, args }) => ({ name, args })),
  usage: [message.usage_metadata.input_tokens, message.usage_metadata.output_tokens],
});

await run({
  invoke: async (fields) => whole(await chat(fields).invoke(question)),
  stream: async (fields) => {
    let total;
    let chunks = 0;
    for await (const chunk of await chat(fields).stream(question)) {
      total = total ? total.concat(chunk) : chunk;
      chunks += 1;
    }
    return { ...whole(total), chunks };
  },
  tools: async (fields) => {
    const llm = chat(fields).bindTools([getWeather]);
    const messages = [new HumanMessage(question)];
    const called = await llm.invoke(messages);
    messages.push(called);
    for (const call of called.tool_calls) messages.push(await getWeather.invoke(call));
    return { called: whole(called), text: (await llm.invoke(messages)).text };
  },
  structured: async (fields) =>
    chat(fields).withStructuredOutput(schema, { name: "place", method: "functionCalling" }).invoke(question),
});
