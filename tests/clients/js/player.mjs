// The official JavaScript SDK, driven by lines of JSON on standard input and telling what happens on standard output.
import { createInterface } from 'node:readline';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';

const tell = (event, facts = {}) => process.stdout.write(JSON.stringify({ event, ...facts }) + '\n');

let url;
let client;
let socket;
let write;
const tokensWanted = [];

// In Protobuf the SDK takes and gives payloads as bytes, and none where JSON has nothing.
const asIs = (data) => data;
const toBytes = (data) => new TextEncoder().encode(JSON.stringify(data));
const fromBytes = (data) => (data.length ? JSON.parse(new TextDecoder().decode(data)) : undefined);
const read = (data) => (data instanceof Uint8Array ? fromBytes(data) : data);

// The SDK makes a socket for each attempt; the newest is remembered so that it can be cut, and the address may change.
class CuttableSocket extends WebSocket {
  constructor(_url, protocols) {
    super(url, protocols);
    socket = this;
  }
}

const actions = {
  connect({ url: address, token, refreshes, isProtobuf }) {
    url = address;
    write = isProtobuf ? toBytes : asIs;
    client = new (isProtobuf ? ProtobufCentrifuge : Centrifuge)(address, {
      websocket: CuttableSocket,
      token: token ?? '',
      minReconnectDelay: 50,
      maxReconnectDelay: 300,
      getToken: refreshes
        ? () => new Promise((resolve) => { tokensWanted.push(resolve); tell('token_wanted'); })
        : null,
    });
    for (const event of ['connecting', 'connected', 'disconnected']) {
      client.on(event, (ctx) => tell(event, { code: ctx.code, reason: ctx.reason, data: read(ctx.data) }));
    }
    client.on('error', (ctx) => tell('error', { code: ctx.error?.code, message: ctx.error?.message }));
    client.connect();
  },
  token({ token }) { tokensWanted.shift()(token); },
  subscribe({ channel }) {
    const subscription = client.newSubscription(channel);
    subscription.on('subscribed', (ctx) => tell('subscribed', {
      channel, recovered: ctx.recovered, wasRecovering: ctx.wasRecovering, data: read(ctx.data), position: ctx.streamPosition,
    }));
    subscription.on('publication', (ctx) => tell('publication', { channel, data: read(ctx.data), offset: ctx.offset }));
    subscription.on('unsubscribed', (ctx) => tell('unsubscribed', { channel, code: ctx.code, reason: ctx.reason }));
    subscription.on('error', (ctx) => tell('subscription_error', { channel, code: ctx.error?.code }));
    subscription.subscribe();
  },
  subscribeMap({ channel }) {
    const subscription = client.newMapSubscription(channel);
    subscription.on('unsubscribed', (ctx) => tell('unsubscribed', { channel, code: ctx.code, reason: ctx.reason }));
    subscription.subscribe();
  },
  unsubscribe({ channel }) { client.getSubscription(channel).unsubscribe(); },
  async rpc({ id, method, data }) {
    try {
      const reply = await client.rpc(method, write(data));
      tell('reply', { id, data: read(reply.data) });
    } catch (error) {
      tell('reply', { id, error: { code: error.code, message: error.message } });
    }
  },
  async history({ id, channel, limit }) {
    const page = await client.getSubscription(channel).history({ limit });
    const publications = page.publications.map((each) => ({ data: read(each.data), offset: each.offset }));
    tell('reply', { id, data: { offset: page.offset, epoch: page.epoch, publications } });
  },
  cut({ url: address }) {
    url = address ?? url;
    socket.terminate();
  },
  disconnect() { client.disconnect(); },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...facts } = JSON.parse(line);
  actions[action](facts);
}
process.exit(0);
