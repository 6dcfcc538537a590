// OpenAI's JavaScript SDK, unmodified: `node scenes_openai.mjs BASE_URL TOKEN` prints what each scene saw, as JSON.

import OpenAI from "openai";

const [base, token] = process.argv.slice(2);
const hello = [{ role: "user", content: "Hello" }];
const client = new OpenAI({ baseURL: base, apiKey: token, maxRetries: 0 });
const tool = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

async function raised(call) {
  try {
    await call();
  } catch (error) {
    return { type: error.constructor.name, status: error.status ?? null, code: error.code ?? null };
  }
  return null;
}

const scenes = {
  async whole() {
    const said = await client.chat.completions.create({ model: "auto", messages: hello });
    return { text: said.choices[0].message.content, model: said.model, usage: said.usage.prompt_tokens };
  },
  async streamed() {
    const wanted = { model: "auto", messages: hello, stream: true, stream_options: { include_usage: true } };
    let text = "";
    let last = null;
    for await (const chunk of await client.chat.completions.create(wanted)) {
      text += chunk.choices[0]?.delta?.content ?? "";
      last = chunk;
    }
    return { text, usage: last.usage.prompt_tokens };
  },
  async streamedByTheHelper() {
    const runner = client.chat.completions.stream({ model: "auto", messages: hello });
    return { text: await runner.finalContent() };
  },
  async tools() {
    const said = await client.chat.completions.create({ model: "lab:tool", messages: hello, tools: [tool] });
    const message = said.choices[0].message;
    const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "Sunny." };
    const messages = [...hello, message, result];
    const after = await client.chat.completions.create({ model: "lab:after-tool", messages, tools: [tool] });
    return {
      city: JSON.parse(message.tool_calls[0].function.arguments).city,
      after: after.choices[0].message.content,
    };
  },
  async toolsRunByTheHelper() {
    const weather = { ...tool.function, parse: JSON.parse, function: ({ city }) => `Sunny in ${city}.` };
    const runner = client.chat.completions.runTools({
      model: "lab:tool-then-text",
      messages: hello,
      tools: [{ type: "function", function: weather }],
    });
    return { text: await runner.finalContent() };
  },
  async structured() {
    const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
    const format = { type: "json_schema", json_schema: { name: "weather", schema } };
    const said = await client.chat.completions.create({
      model: "lab:weather",
      messages: hello,
      response_format: format,
    });
    return JSON.parse(said.choices[0].message.content);
  },
  async models() {
    const ids = [];
    for await (const one of await client.models.list()) ids.push(one.id);
    return { ids, one: (await client.models.retrieve("lab:ok")).id };
  },
  async errors() {
    const ask = (model, of = client) => of.chat.completions.create({ model, messages: hello });
    return {
      key: await raised(() => ask("auto", new OpenAI({ baseURL: base, apiKey: "wrong", maxRetries: 0 }))),
      model: await raised(() => ask("nobody:knows")),
      limit: await raised(() => ask("lab:fail-429")),
      fault: await raised(() => ask("lab:fail-503")),
      stream: await raised(async () => {
        const wanted = { model: "lab:broken", messages: hello, stream: true };
        for await (const _ of await client.chat.completions.create(wanted));
      }),
    };
  },
  async session() {
    const options = { headers: { "x-session-id": "of-javascript" } };
    const ask = (content) => ({ model: "auto", messages: [{ role: "user", content }] });
    await client.chat.completions.create(ask("One"), options);
    return { text: (await client.chat.completions.create(ask("Two"), options)).choices[0].message.content };
  },
  async sessionAndATimeOut() {
    const options = { headers: { "x-session-id": "impatient-script" }, maxRetries: 4, timeout: 1000 };
    const said = await client.chat.completions.create({ model: "lab:late-script", messages: hello }, options);
    return { text: said.choices[0].message.content };
  },
};

const seen = {};
for (const [name, scene] of Object.entries(scenes)) seen[name] = await scene();
console.log(JSON.stringify(seen));
