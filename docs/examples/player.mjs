// node player.mjs http://127.0.0.1:8000 "$FAN"     after: npm install centrifuge ws
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws'; // a browser brings its own

const [server, token = ''] = process.argv.slice(2);
const { items: [{ id: stream_id }] } = await (await fetch(`${server}/v1/content.list?kind=live`)).json();
const client = new Centrifuge(`${server.replace('http', 'ws')}/connection/websocket`, { token, websocket: WebSocket });
const call = async (operation, params) => (await client.rpc(operation, params)).data;

const show = ({ data }) => {
  if (data?.type === 'chat.message') console.log(`${data.user.name}: ${data.text}`);
  if (data?.type === 'viewers') console.log(`${data.viewers} are watching`);
};
for (const channel of [`stream:${stream_id}:chat`, `stream:${stream_id}:viewers`]) {
  client.newSubscription(channel).on('publication', show).on('subscribed', show).subscribe();
}
client.connect();
if (token) await call('chat.send', { stream_id, text: 'hello from JavaScript', client_id: `js-${Date.now()}` });
for (let session = null; ; ) { // whoever is not heard of for 25 s is no longer counted
  try {
    if (session) await call('session.heartbeat', { session_id: session.session_id, state: 'playing' });
    else session = await call('session.start', { stream_id });
  } catch { session = null; }
  await new Promise((resolve) => setTimeout(resolve, session?.heartbeat_ms ?? 1000));
}
