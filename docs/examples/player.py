# python player.py http://127.0.0.1:8000 "$FAN"     after: pip install centrifuge-python
import asyncio, json, sys, time, urllib.request
from centrifuge import CentrifugeError, Client, SubscriptionEventHandler

server, token = (*sys.argv[1:], "")[:2]
stream_id = json.load(urllib.request.urlopen(f"{server}/v1/content.list?kind=live"))["items"][0]["id"]


class Show(SubscriptionEventHandler):
    async def on_publication(self, ctx):
        if ctx.pub.data["type"] == "chat.message":
            print(f"{ctx.pub.data['user']['name']}: {ctx.pub.data['text']}")
        if ctx.pub.data["type"] == "viewers":
            print(f"{ctx.pub.data['viewers']} are watching")


async def main():
    client, session = Client(server.replace("http", "ws", 1) + "/connection/websocket", token=token), None
    for channel in (f"stream:{stream_id}:chat", f"stream:{stream_id}:viewers"):
        await client.new_subscription(channel, Show()).subscribe()
    await client.connect()
    if token:
        hello = {"stream_id": stream_id, "text": "hello from Python", "client_id": f"py-{time.time()}"}
        await client.rpc("chat.send", hello)
    while True:  # whoever is not heard of for 25 s is no longer counted
        try:
            if session:
                heartbeat = {"session_id": session["session_id"], "state": "playing"}
                await client.rpc("session.heartbeat", heartbeat)
            else:
                session = (await client.rpc("session.start", {"stream_id": stream_id})).data
        except CentrifugeError:
            session = None
        await asyncio.sleep(session["heartbeat_ms"] / 1000 if session else 1)


asyncio.run(main())
