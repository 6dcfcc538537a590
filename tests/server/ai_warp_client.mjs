// Plays AI Warp's client (@platformatic/ai-client 1.1), written from docs/contracts/REST.md: what it sends, how it reads.
// node ai_warp_client.mjs BASE_URL TOKEN   prints one line of JSON: a record of each call by the name of its scene.

const TIMEOUT = 60_000

class Client {
  constructor ({ url, headers }) {
    this.url = url.endsWith('/') ? url.slice(0, -1) : url
    this.headers = { 'Content-Type': 'application/json', ...headers }
  }

  async ask (options) {
    const streaming = options.stream !== false
    const request = {
      method: 'POST',
      headers: { ...this.headers, Accept: streaming ? 'text/event-stream' : 'application/json' },
      body: JSON.stringify(bodyOf(options, streaming)),
      signal: AbortSignal.timeout(TIMEOUT)
    }
    const answer = await fetch(this.url + (streaming ? '/api/v1/stream' : '/api/v1/prompt'), request)
    if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`)
    const { headers, status } = answer
    if (streaming) return { stream: messagesOf(answer.body), headers, status }
    return { content: await answer.json(), headers, status }
  }
}

// What is undefined is left out by JSON.stringify, as the client leaves it out.
function bodyOf (options, stream) {
  const { prompt, sessionId, context, temperature, models, history } = options
  return { prompt, sessionId, context, temperature, models, history, stream, resume: options.resume !== false }
}

async function * messagesOf (body) {
  let buffer = ''
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    buffer += text
    const blocks = buffer.split('\n\n')
    buffer = blocks.pop()
    for (const block of blocks) yield * messageOf(block)
  }
  yield * messageOf(buffer)
}

function * messageOf (block) {
  let event, data
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) event = line.slice(7).trim()
    else if (line.startsWith('data: ')) data = line.slice(6).trim()
  }
  if (!data) return
  const read = readers[event]
  if (read) yield read(JSON.parse(data))
}

const readers = {
  content: data => ({ type: 'content', content: data.response || '' }),
  end: data => ({ type: 'done', response: data.response }),
  error: data => ({ type: 'error', error: new Error(data.message || 'Unknown error') })
}

// One call and all that its caller can see of it; nothing is thrown.
async function observe (client, options) {
  const sent = JSON.parse(JSON.stringify(bodyOf(options, options.stream !== false)))
  const seen = { sent, status: null, headers: {}, sessionId: null, messages: [], text: '', done: null, content: null, error: null }
  try {
    const answer = await client.ask(options)
    seen.status = answer.status
    seen.headers = Object.fromEntries(answer.headers)
    seen.sessionId = answer.headers.get('x-session-id')
    seen.content = answer.content ?? null
    for await (const message of answer.stream ?? []) take(seen, message)
    if (seen.content) seen.text = seen.content.text
  } catch (error) {
    seen.error = error.message
  }
  return seen
}

function take (seen, message) {
  if (message.type === 'content') seen.text += message.content
  if (message.type === 'done') seen.done = message.response
  if (message.type === 'error') seen.error = message.error.message
  seen.messages.push(message.type === 'error' ? { type: 'error', error: message.error.message } : message)
}

function splitModel (name) {
  const at = name.indexOf(':')
  return { provider: name.slice(0, at), model: name.slice(at + 1) }
}

async function play (url, token) {
  const client = new Client({ url, headers: { Authorization: `Bearer ${token}` } })
  const stranger = new Client({ url: url + '/', headers: { Authorization: 'Bearer not-the-token' } })
  const scenes = {}
  const play = async (name, options, by = client) => (scenes[name] = await observe(by, options))

  const ask = await play('ask', { prompt: 'My name is Ada.', stream: false })
  const sessionId = ask.sessionId ?? undefined
  await play('askSecondTurn', { prompt: 'What is my name?', stream: false, sessionId })
  await play('streamThirdTurn', { prompt: 'And what did I say first?', sessionId })

  const stream = await play('stream', { prompt: 'Grüße, 世界 🌍: count to three.' })
  const streamed = stream.sessionId ?? undefined
  await play('streamSecondTurn', { prompt: 'Now count to four.', sessionId: streamed, resume: true })
  await play('streamSamePromptAgain', { prompt: 'Now count to four.', sessionId: streamed })
  await play('streamWithoutResume', { prompt: 'Now count to five.', sessionId: streamed, resume: false })

  // Its callers resume with a header of their own: the client knows no ids of events.
  const back = new Client({ url, headers: { Authorization: `Bearer ${token}`, 'Last-Event-ID': '1-2' } })
  await play('resumed', { prompt: 'Anything.', sessionId: streamed }, back)
  await play('notResumed', { prompt: 'Not a replay.', sessionId: streamed, resume: false }, back)

  await play('contextString', { prompt: 'Who are you?', context: 'You are a pirate.', temperature: 0 })
  await play('contextObject', { prompt: 'What colour?', context: { colour: 'blue', sizes: [1, 2] }, stream: false })
  await play('contextArray', { prompt: 'Which one?', context: ['first', { n: 2 }], stream: false })
  await play('history', { prompt: 'What did I ask?', history: [{ prompt: 'Earlier?', response: 'Yes, earlier.' }] })

  const model = ask.content?.model ?? 'unknown:unknown'
  await play('modelsAsStrings', { prompt: 'Which model?', models: [model] })
  await play('modelsAsObjects', { prompt: 'Which model?', models: [splitModel(model)], stream: false })
  await play('modelsMixed', { prompt: 'Which model?', models: [splitModel(model), model], temperature: 0.5 })

  await play('unknownModel', { prompt: 'Hello?', models: ['nobody:nothing'] })
  await play('unknownSession', { prompt: 'Hello?', sessionId: 'never-was-there' })
  await play('badSessionId', { prompt: 'Hello?', sessionId: 'no spaces/allowed', stream: false })
  await play('emptyPrompt', { prompt: '', stream: false })
  await play('wrongToken', { prompt: 'Hello?', stream: false }, stranger)
  return scenes
}

const [url, token] = process.argv.slice(2)
if (!url || !token) {
  console.error('usage: node ai_warp_client.mjs BASE_URL TOKEN')
  process.exit(2)
}
console.log(JSON.stringify(await play(url, token)))
