// node player.mjs http://127.0.0.1:8000 "$FAN"     after: npm install centrifuge ws
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws'; // a browser brings its own

const [server, token = ''] = process.argv.slice(2);
const { items: [stream] } = await (await fetch(`${server}/v1/content.list?kind=live`)).json();
const client = new Centrifuge(`${server.replace('http', 'ws')}/connection/websocket`, { token, websocket: WebSocket });

const listen = (channel, show) => {
  const subscription = client.newSubscription(channel);
  subscription.on('publication', ({ data }) => show(data));
  subscription.on('subscribed', ({ data }) => data && show(data)); // the state as it is now
  subscription.subscribe();
};
listen(`stream:${stream.id}:chat`, (event) => event.text && console.log(`${event.user.name}: ${event.text}`));
listen(`stream:${stream.id}:viewers`, (event) => console.log(`${event.viewers} are watching`));
client.connect();

const session = (await client.rpc('session.start', { stream_id: stream.id })).data;
const session_id = session.session_id;
setInterval(() => client.rpc('session.heartbeat', { session_id, state: 'playing' }), session.heartbeat_ms);
const hello = { stream_id: stream.id, text: 'hello from JavaScript', client_id: `js-${Date.now()}` };
if (token) await client.rpc('chat.send', hello);
