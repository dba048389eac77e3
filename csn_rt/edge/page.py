"""`GET /`: one page that says what this is and what it can do, without a script."""

import hashlib
from base64 import b64encode
from functools import cache
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from csn_rt import __version__
from csn_rt.edge.operations import OPERATIONS, Operation

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #777 }
body { margin: 3rem auto; max-width: 56rem; padding: 0 1.25rem; font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.05rem; margin-top: 2.25rem }
p, td { max-width: 42rem } .soft { color: var(--soft) }
code { font: 0.9em ui-monospace, monospace }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid var(--line); padding: 0.35rem 0.75rem 0.35rem 0; text-align: left;
  vertical-align: top }
"""

_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; frame-ancestors 'none'"

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>csn_rt</title>
<link rel="icon" href="data:,">
<style>{style}</style>
<h1>csn_rt</h1>
<p class="soft">The real-time server of a sports-streaming product, version {version}.</p>
<p>Live chat, viewer counts and watch progress over one WebSocket. It speaks the Centrifuge client protocol,
so any of the official Centrifuge SDKs connects to it, and every operation is also plain HTTP with JSON.</p>
<h2>Addresses</h2>
<table>
<tr><td><code>/connection/websocket</code><td>the WebSocket (Centrifuge client protocol v2, JSON)
<tr><td><code>/v1/&lt;operation&gt;</code><td>the operations below; the token is the bearer of
<code>Authorization</code>
<tr><td><a href="/healthz"><code>/healthz</code></a><td>whether the process lives
<tr><td><a href="/readyz"><code>/readyz</code></a><td>whether it can do its job right now, and if not, why
<tr><td><a href="/metrics"><code>/metrics</code></a><td>what it counts, for Prometheus
</table>
<h2>Operations</h2>
<p>As <code>rpc</code> over the socket, or as HTTP with the verb shown. The parameters, results and errors of
each are in <code>docs/operations.md</code>, the tables in <code>docs/schema.md</code>, beside the source.</p>
<table>
<tr><th>verb<th>operation<th>for<th>what it does
{rows}
</table>
</html>
"""


async def answer_page(_request: Request, _request_id: str) -> Response:
    return Response(_page(), headers={"content-security-policy": _POLICY}, media_type="text/html")


@cache
def _page() -> bytes:
    rows = "\n".join(_row(operation) for operation in OPERATIONS.values())
    return _PAGE.format(style=_STYLE, version=escape(__version__), rows=rows).encode()


def _row(operation: Operation) -> str:
    verb = "GET" if operation.kind == "query" else "POST"
    least = operation.least or "all"
    return f"<tr><td>{verb}<td><code>{operation.name}</code><td>{least}<td>{escape(operation.summary)}"
