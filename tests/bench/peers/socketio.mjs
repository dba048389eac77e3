// node Socket.IO: one room, `emit` to it.

import { once } from "node:events";
import { createServer } from "node:http";
import { Server } from "socket.io";
import { nextTurn, obey } from "./orders.mjs";

const data = JSON.parse(process.argv[2]);
const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 3_600_000 });
io.on("connection", (socket) => socket.join("room"));
http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 });
await once(http, "listening");

async function broadcast(messages) {
  for (let n = 0; n < messages; n++) {
    io.to("room").emit("message", data);
    await nextTurn();
  }
}

await obey(http.address().port, { broadcast });
