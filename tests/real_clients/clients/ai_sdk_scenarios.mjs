// What is requested through the AI SDK, whichever provider makes the model.
import { generateText, jsonSchema, isStepCount, Output, streamText, tool } from "ai";

const prompt = "What is the weather in Paris?";

const tools = {
  get_weather: tool({
    description: "Get the weather of a city.",
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
    execute: async ({ city }) => `18 degrees in ${city}`,
  }),
};

const whole = ({ text, reasoningText, finishReason, usage, response }) => ({
  text,
  reasoning: reasoningText,
  finishReason,
  usage: { input: usage.inputTokens, output: usage.outputTokens, reasoning: usage.outputTokenDetails.reasoningTokens },
  model: response.modelId,
});

export const scenarios = (model) => ({
  text: async (settings) => whole(await generateText({ model: model(settings), prompt, maxRetries: 0 })),
  stream: async (settings) => {
    const stream = streamText({ model: model(settings), prompt, maxRetries: 0, onError: () => {} });
    const parts = { text: [], reasoning: [], errors: [] };
    for await (const part of stream.fullStream) {
      if (part.type === "text-delta") parts.text.push(part.text);
      if (part.type === "reasoning-delta") parts.reasoning.push(part.text);
      if (part.type === "error") parts.errors.push(part.error.message);
    }
    return { ...parts, finishReason: parts.errors.length ? undefined : await stream.finishReason };
  },
  object: async (settings) => {
    const schema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
    const { output } = await generateText({
      model: model(settings),
      // The unified provider leaves out the schema, and DeepSeek requires the word "JSON".
      prompt: `${prompt} Answer in JSON.`,
      output: Output.object({ schema }),
      maxRetries: 0,
    });
    return output;
  },
  tools: async (settings) => {
    const { steps, text } = await generateText({ model: model(settings), prompt, tools, stopWhen: isStepCount(3), maxRetries: 0 });
    const calls = steps.flatMap((step) => step.toolCalls).map(({ toolName, input }) => ({ toolName, input }));
    return { calls, results: steps.flatMap((step) => step.toolResults).map(({ output }) => output), text };
  },
  streamed_tools: async (settings) => {
    const stream = streamText({ model: model(settings), prompt, tools, stopWhen: isStepCount(3), maxRetries: 0 });
    const calls = [];
    for await (const part of stream.fullStream) {
      if (part.type === "tool-call") calls.push({ toolName: part.toolName, input: part.input });
    }
    return { calls, text: await stream.text };
  },
});
