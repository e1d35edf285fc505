"""The Runtime API of Lambda, as far as a function needs it that is run as a process of its own."""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_SECONDS = 60
_PREFIX = "/2018-06-01/runtime"
ARN = "arn:aws:lambda:us-east-1:123456789012:function"


@dataclass(frozen=True)
class Answer:
    """What a function said to an invocation."""

    failed: bool
    body: dict[str, Any]


class RuntimeApi:
    """A server for one function's process, on a free port of the loopback."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.asked: queue.Queue[float] = queue.Queue()
        """When the function asked for its next invocation, by `time.perf_counter`."""
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.stray: list[str] = []
        """What else was sent here, the endpoint of AWS being here too."""
        self._payloads: queue.Queue[bytes | None] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def invoke(self, payload: bytes) -> Answer:
        """Hands over an invocation and gives its answer. The next request for one is in `asked` soon after."""
        self._payloads.put(payload)
        return self.answers.get(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self._payloads.put(None)
        self._server.shutdown()
        self._server.server_close()

    def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:  # noqa: N805: `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:  # noqa: N802: the name is the library's
                if self.path != f"{_PREFIX}/invocation/next":
                    return self._stray()
                api.asked.put(time.perf_counter())
                payload = api._payloads.get()
                if payload is None:
                    self.close_connection = True
                    return None
                deadline = int((time.time() + PATIENCE_SECONDS) * 1000)
                headers = {"lambda-runtime-aws-request-id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "lambda-runtime-deadline-ms": str(deadline),
                           "lambda-runtime-invoked-function-arn": f"{ARN}:{api.function}"}
                return self._send(200, payload, headers)

            def do_POST(self) -> None:  # noqa: N802: as above
                content = self._content()
                if not self.path.startswith(_PREFIX):
                    return self._stray()
                self._send(202, b"{}", {})
                api.answers.put(Answer(self.path.endswith("/error"), json.loads(content or b"{}")))
                return None

            def do_PUT(self) -> None:  # noqa: N802: as above
                self._content()
                self._stray()

            do_HEAD = do_DELETE = do_PUT

            def _content(self) -> bytes:
                return self.rfile.read(int(self.headers.get("content-length") or 0))

            def _stray(self) -> None:
                api.stray.append(f"{self.command} {self.path}")
                self._send(400, b"", {})

            def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
