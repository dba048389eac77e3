// node `ws`: the broadcast of its README.

import { once } from "node:events";
import { WebSocketServer } from "ws";
import { nextTurn, obey } from "./orders.mjs";

const text = process.argv[2];
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096 });
await once(server, "listening");

async function broadcast(messages) {
  for (let n = 0; n < messages; n++) {
    for (const client of server.clients) client.send(text);
    await nextTurn();
  }
}

await obey(server.address().port, { broadcast });
