"""The page at `/`: what this is, and where the documents are."""

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>csn_rt</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem;
         color: #1a1d21 }
  h1 { margin-bottom: 0 } code { background: #f1f3f5; padding: .1em .3em; border-radius: 3px }
  dt { margin-top: .8rem; font-weight: 600 } dd { margin: 0 }
</style>
<h1>csn_rt</h1>
<p>The real-time server of a sports-streaming product: live chat, viewer counts and watch progress over one
WebSocket. What it acknowledges is committed.</p>
<dl>
  <dt><code>GET /connection/websocket</code></dt>
  <dd>The WebSocket, for the official Centrifuge SDKs.</dd>
  <dt><code>/v1/&lt;operation&gt;</code></dt>
  <dd>The same operations over HTTP, for example <a href="/v1/content.list">/v1/content.list</a>.</dd>
  <dt><a href="/readyz">/readyz</a>, <a href="/healthz">/healthz</a>, <a href="/metrics">/metrics</a></dt>
  <dd>For operators.</dd>
  <dt>Documents</dt>
  <dd><code>README.md</code>, and in <code>docs/</code>: operations, protocol, schema, decisions.</dd>
</dl>
</html>
"""
