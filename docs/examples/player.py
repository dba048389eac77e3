# python player.py http://127.0.0.1:8000 "$FAN"     after: pip install centrifuge-python
import asyncio, json, sys, time, urllib.request
from centrifuge import Client, SubscriptionEventHandler

server, token = (*sys.argv[1:], "")[:2]
stream = json.load(urllib.request.urlopen(f"{server}/v1/content.list?kind=live"))["items"][0]["id"]


class Show(SubscriptionEventHandler):
    async def on_publication(self, ctx):
        event = ctx.pub.data
        if event["type"] == "chat.message":
            print(f"{event['user']['name']}: {event['text']}")
        elif event["type"] == "viewers":
            print(f"{event['viewers']} are watching")


async def main():
    client = Client(server.replace("http", "ws", 1) + "/connection/websocket", token=token)
    for channel in (f"stream:{stream}:chat", f"stream:{stream}:viewers"):
        await client.new_subscription(channel, Show()).subscribe()
    await client.connect()
    session = (await client.rpc("session.start", {"stream_id": stream})).data
    if token:
        hello = {"stream_id": stream, "text": "hello from Python", "client_id": f"py-{time.time()}"}
        await client.rpc("chat.send", hello)
    while True:
        await asyncio.sleep(session["heartbeat_ms"] / 1000)
        await client.rpc("session.heartbeat", {"session_id": session["session_id"], "state": "playing"})


asyncio.run(main())
