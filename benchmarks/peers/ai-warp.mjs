// AI Warp as a service: its Fastify plugin with two routes. Arguments: port, the provider's address, Valkey's port or ''.
import { ai } from '@platformatic/fastify-ai'
import fastify from 'fastify'
import { DEFAULT_UNDICI_POOL_OPTIONS } from './node_modules/@platformatic/ai-provider/dist/lib/config.js'
import { createOpenAiClient } from './node_modules/@platformatic/ai-provider/dist/providers/lib/openai-undici-client.js'

const [port, provider, valkey] = process.argv.slice(2)
const rate = { max: 1e9, timeWindow: '1s' }
const client = createOpenAiClient({
  providerName: 'OpenAI',
  baseUrl: provider,
  apiPath: '/v1/chat/completions',
  apiKey: 'k',
  userAgent: 'bench',
  undiciOptions: DEFAULT_UNDICI_POOL_OPTIONS
})
const app = fastify()
await app.register(ai, {
  providers: { openai: { apiKey: 'k', client } },
  models: ['50x0', '50x1', '50x200', '1x0+200'].map((model) => ({ provider: 'openai', model, limits: { rate } })),
  limits: { rate },
  storage: valkey ? { type: 'valkey', valkey: { host: '127.0.0.1', port: Number(valkey) } } : { type: 'memory' }
})
for (const stream of [false, true]) {
  app.post(stream ? '/stream' : '/prompt', (request, reply) => {
    const { prompt, model, sessionId } = request.body
    return app.ai.request({ request, models: [`openai:${model}`], prompt, sessionId, stream }, reply)
  })
}
await app.listen({ port: Number(port), host: '127.0.0.1' })
