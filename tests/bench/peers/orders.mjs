// As orders.py: lines on stdin, each answered with a line on stdout; the end of stdin is the end.

import { createInterface } from "node:readline";

export const nextTurn = () => new Promise(setImmediate);

export async function obey(port, orders) {
  console.log(port);
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, count] = line.split(" ");
    if (what === "cpu") {
      const { user, system } = process.cpuUsage();
      console.log((user + system) / 1e6);
    } else {
      await orders[what](Number(count));
      console.log("done");
    }
  }
  process.exit(0);
}
