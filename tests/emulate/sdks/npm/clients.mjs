// The npm clients at the emulators. argv: OpenAI's base URL, then the origins of Azure, Gemini and Black Forest Labs.
// Prints what each step of each client came to, as JSON on the last line.
import { createAzure } from "@ai-sdk/azure";
import { createBlackForestLabs } from "@ai-sdk/black-forest-labs";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { GoogleGenAI } from "@google/genai";
import { generateImage, generateText, streamText } from "ai";
import OpenAI, { toFile } from "openai";

const [openaiUrl, azureUrl, geminiUrl, bflUrl] = process.argv.slice(2);
const BLOCKED = "a boat [emulate: moderate=prompt]";

const size = (bytes) => {
  const data = Buffer.from(bytes, typeof bytes === "string" ? "base64" : undefined);
  if (data.readUInt32BE(0) === 0x89504e47) return `${data.readUInt32BE(16)}x${data.readUInt32BE(20)}`;
  if (data.readUInt16BE(0) === 0xffd8) return "jpeg";
  throw new Error("no image");
};
const sizes = (list) => list.map(size).join(", ");

const seen = {};
const run = async (client, steps) => {
  seen[client] = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      seen[client][name] = (await step()) || "FAILED: nothing came";
    } catch (error) {
      const words = String(error?.message ?? error).replace(/\s+/g, " ");
      const refused = name === "error" && [400, 402].includes(error?.statusCode ?? error?.status);
      seen[client][name] = refused ? error.constructor.name : `FAILED: ${error?.constructor?.name}: ${words.slice(0, 100)}`;
      if (!refused) console.error(client, name, error);
    }
  }
};

// openai
const openai = new OpenAI({ apiKey: "emulated", baseURL: openaiUrl, maxRetries: 0 });
const model = "gpt-image-2";
const made = await openai.images.generate({ model, prompt: "a boat", size: "1024x1024", quality: "low" });
const png = made.data[0].b64_json;
const source = Buffer.from(png, "base64");
const tool = (more) => [{ type: "image_generation", ...more }];
const drawn = (response) => sizes(response.output.filter((o) => o.type === "image_generation_call").map((o) => o.result));
await run("openai", {
  generate: async () => sizes((await openai.images.generate({ model, prompt: "a boat", n: 2 })).data.map((d) => d.b64_json)),
  edit: async () => {
    const image = await toFile(source, "image.png", { type: "image/png" });
    return sizes((await openai.images.edit({ model, image, prompt: "make it red" })).data.map((d) => d.b64_json));
  },
  stream: async () => {
    const types = [];
    const events = await openai.images.generate({ model, prompt: "a boat", stream: true, partial_images: 2 });
    for await (const event of events) types.push(`${event.type.split(".")[1]} ${size(event.b64_json)}`);
    return types.length === 3 && types.at(-1);
  },
  responses: async () =>
    drawn(await openai.responses.create({ model: "gpt-5", input: [{ role: "user", content: "a boat" }], tools: tool() })),
  responses_edit: async () => {
    const content = [
      { type: "input_text", text: "make it red" },
      { type: "input_image", image_url: `data:image/png;base64,${png}`, detail: "auto" },
    ];
    return drawn(await openai.responses.create({ model: "gpt-5", input: [{ role: "user", content }], tools: tool() }));
  },
  responses_stream: async () => {
    const stream = openai.responses.stream({ model: "gpt-5", input: "a boat", tools: tool({ partial_images: 1 }) });
    let partial = 0;
    for await (const event of stream) partial += event.type === "response.image_generation_call.partial_image";
    return partial === 1 && drawn(await stream.finalResponse());
  },
  responses_turns: async () => {
    const first = await openai.responses.create({ model: "gpt-5", input: "a boat", tools: tool() });
    const next = { model: "gpt-5", input: "make it red", previous_response_id: first.id, tools: tool() };
    return drawn(await openai.responses.create(next));
  },
  error: async () => openai.images.generate({ model, prompt: BLOCKED }),
});

// @google/genai
const google = new GoogleGenAI({ apiKey: "emulated", httpOptions: { baseUrl: geminiUrl } });
const NANO = "gemini-3-pro-image";
const parts = (reply) => sizes(reply.candidates[0].content.parts.filter((p) => p.inlineData).map((p) => p.inlineData.data));
const step = (content) => [{ type: "user_input", content }];
const image = { type: "image", mime_type: "image/png", data: png };
await run("@google/genai", {
  generate: async () => parts(await google.models.generateContent({ model: NANO, contents: "a boat" })),
  edit: async () => {
    const contents = [{ text: "make it red" }, { inlineData: { mimeType: "image/png", data: png } }];
    return parts(await google.models.generateContent({ model: NANO, contents }));
  },
  stream: async () => {
    let last;
    for await (const chunk of await google.models.generateContentStream({ model: NANO, contents: "a boat" })) last = chunk;
    return parts(last);
  },
  interaction: async () => {
    const reply = await google.interactions.create({ model: NANO, input: step([{ type: "text", text: "a boat" }]) });
    return sizes(reply.steps.flatMap((s) => s.content).filter((c) => c.type === "image").map((c) => c.data));
  },
  interaction_edit: async () => {
    const input = [{ type: "text", text: "make it red" }, image];
    const reply = await google.interactions.create({ model: NANO, input });
    return sizes(reply.steps.flatMap((s) => s.content).filter((c) => c.type === "image").map((c) => c.data));
  },
  interaction_stream: async () => {
    const found = [];
    for await (const event of await google.interactions.create({ model: NANO, input: "a boat", stream: true }))
      if (event.event_type === "step.delta" && event.delta.type === "image") found.push(event.delta.data);
    return sizes(found);
  },
  file: async () => {
    const file = await google.files.upload({ file: new Blob([source]), config: { mimeType: "image/png" } });
    const contents = [{ text: "make it red" }, { fileData: { fileUri: file.uri, mimeType: file.mimeType } }];
    return parts(await google.models.generateContent({ model: NANO, contents }));
  },
  tokens: async () => String((await google.models.countTokens({ model: NANO, contents: "a boat" })).totalTokens),
  error: async () => google.interactions.create({ model: NANO, input: BLOCKED }),
});

// ai, with its providers
const images = (result) => sizes(result.images.map((i) => i.uint8Array));
const ai = createOpenAI({ apiKey: "emulated", baseURL: openaiUrl });
const quick = { maxRetries: 0 };
const asTool = { image_generation: ai.tools.imageGeneration({ quality: "low", size: "1024x1024" }) };
const called = (result) => sizes(result.staticToolResults.map((r) => r.output.result));
await run("ai with @ai-sdk/openai", {
  generate: async () => images(await generateImage({ model: ai.image(model), prompt: "a boat", size: "1024x1024", ...quick })),
  edit: async () =>
    images(await generateImage({ model: ai.image(model), prompt: { text: "make it red", images: [source] }, ...quick })),
  responses: async () => called(await generateText({ model: ai("gpt-5"), prompt: "a boat", tools: asTool, ...quick })),
  stream: async () => {
    const result = streamText({ model: ai("gpt-5"), prompt: "a boat", tools: asTool, ...quick });
    let found = "";
    for await (const part of result.fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "tool-result" && !part.preliminary) found = size(part.output.result);
    }
    return found;
  },
  error: async () => generateImage({ model: ai.image(model), prompt: BLOCKED, ...quick }),
});
const azure = createAzure({ apiKey: "emulated", baseURL: `${azureUrl}/openai/v1` });
await run("ai with @ai-sdk/azure", {
  generate: async () => images(await generateImage({ model: azure.image(model), prompt: "a boat", ...quick })),
  edit: async () =>
    images(await generateImage({ model: azure.image(model), prompt: { text: "make it red", images: [source] }, ...quick })),
  responses: async () => {
    const tools = { image_generation: azure.tools.imageGeneration({ quality: "low" }) };
    return called(await generateText({ model: azure("gpt-5"), prompt: "a boat", tools, ...quick }));
  },
  stream: async () => {
    const tools = { image_generation: azure.tools.imageGeneration({ quality: "low" }) };
    const result = streamText({ model: azure("gpt-5"), prompt: "a boat", tools, ...quick });
    let found = "";
    for await (const part of result.fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "tool-result" && !part.preliminary) found = size(part.output.result);
    }
    return found;
  },
  error: async () => generateImage({ model: azure.image(model), prompt: BLOCKED, ...quick }),
});
const gemini = createGoogleGenerativeAI({ apiKey: "emulated", baseURL: `${geminiUrl}/v1beta` });
const files = (result) => sizes(result.files.map((f) => f.uint8Array));
const message = [
  { role: "user", content: [{ type: "text", text: "make it red" }, { type: "file", data: source, mediaType: "image/png" }] },
];
const streamed = async (language) => {
  const found = [];
  for await (const part of streamText({ model: language, prompt: "a boat", ...quick }).fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "file") found.push(part.file.uint8Array);
  }
  return sizes(found);
};
await run("ai with @ai-sdk/google", {
  generate: async () => images(await generateImage({ model: gemini.image(NANO), prompt: "a boat", aspectRatio: "16:9", ...quick })),
  edit: async () =>
    images(await generateImage({ model: gemini.image(NANO), prompt: { text: "make it red", images: [source] }, ...quick })),
  stream: async () => streamed(gemini(NANO)),
  interaction: async () => files(await generateText({ model: gemini.interactions(NANO), prompt: "a boat", ...quick })),
  interaction_edit: async () => files(await generateText({ model: gemini.interactions(NANO), messages: message, ...quick })),
  interaction_stream: async () => streamed(gemini.interactions(NANO)),
  error: async () => generateText({ model: gemini.interactions(NANO), prompt: BLOCKED, ...quick }),
});
const bfl = createBlackForestLabs({ apiKey: "emulated", baseURL: `${bflUrl}/v1`, pollIntervalMillis: 50 });
await run("ai with @ai-sdk/black-forest-labs", {
  generate: async () => images(await generateImage({ model: bfl.image("flux-pro-1.1"), prompt: "a boat", ...quick })),
  kontext: async () => images(await generateImage({ model: bfl.image("flux-kontext-pro"), prompt: "a boat", ...quick })),
  edit: async () =>
    images(await generateImage({ model: bfl.image("flux-kontext-pro"), prompt: { text: "make it red", images: [source] }, ...quick })),
  error: async () => generateImage({ model: bfl.image("flux-pro-1.1"), prompt: "a boat [emulate: status=402]", ...quick }),
});
console.log(JSON.stringify(seen));
