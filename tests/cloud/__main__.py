"""Runs the local cloud in the foreground: `python -m cloud`. Ends cleanly on SIGTERM, SIGINT, or (if asked) when its
standard input closes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60


def main() -> int:
    given = _arguments()
    given.dir.mkdir(parents=True, exist_ok=True)
    description = given.dir / "cloud.json"
    description.unlink(missing_ok=True)
    port = given.port or _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if given.until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(ended,), daemon=True).start()
    # ministack leaves the folders of its Lambda workers behind: they get a place that goes with us.
    scratch = Path(tempfile.mkdtemp(prefix="cordon-cloud-"))
    server = subprocess.Popen([sys.executable, "-m", "cloud.server"], env=_environment(given, port, scratch), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        about = _deployed(endpoint, server, ended)
        if about is None:
            return 0
        _write(description, about)
        # In one piece, also where Python does not buffer: whoever waits for the first line may read no further.
        sys.stdout.write(f"ready {endpoint}\n{_explanation(about, description)}\n")
        sys.stdout.flush()
        while not ended.wait(0.2):
            if server.poll() is not None:
                print("the emulator has ended by itself", file=sys.stderr)
                return 1
        return 0
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        description.unlink(missing_ok=True)
        _stop(server)
        shutil.rmtree(scratch, ignore_errors=True)


def _watch_stdin(ended: threading.Event) -> None:
    # Not sys.stdin: the interpreter cannot end while a thread waits in it.
    while os.read(0, 1024):
        pass
    ended.set()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cloud", description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("target/cloud"), help="where cloud.json, the call log and the public key go")
    parser.add_argument("--binaries", type=Path, default=Path("target/debug"), help="where the functions' binaries are")
    parser.add_argument("--template", type=Path, default=Path("infra/template.yaml"))
    parser.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE", help="a template parameter")
    parser.add_argument("--port", type=int, default=0, help="a free one by default")
    parser.add_argument("--wait-scale", type=float, default=0.05, help="how long the state machine's waits and retries take, of their real length")
    parser.add_argument("--timeout-scale", type=float, default=1.0, help="the same for time-outs")
    parser.add_argument("--snapshot-seconds", type=float, default=0.3, help="how long a snapshot takes")
    parser.add_argument("--memory-mib", type=int, default=12, help="how much memory a target has")
    parser.add_argument("--collector", type=Path, help="the collector that is published; the one among the binaries by default")
    parser.add_argument("--collector-arguments", default="--root . --file memory", help="what it is told on a target")
    parser.add_argument("--no-auth", action="store_true", help="check no policy at all")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    return parser.parse_args()


def _environment(given: argparse.Namespace, port: int, scratch: Path) -> dict[str, str]:
    """All that the emulator gets: what is in its environment reaches every Lambda function."""
    settings = {
        "dir": str(given.dir.resolve()), "binaries": str(given.binaries.resolve()), "template": str(given.template.resolve()), "parameters": given.parameter,
        "collector": str(given.collector.resolve()) if given.collector else None, "collectorArguments": given.collector_arguments, "memoryMiB": given.memory_mib,
        "timeoutScale": given.timeout_scale, "snapshotSeconds": given.snapshot_seconds, "endpoint": f"http://127.0.0.1:{port}",
    }
    return {
        # A journey's account is done with after a minute, and hundreds of idle functions would fill the memory of a small machine.
        "LAMBDA_WARM_TTL_SECONDS": "20",
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONPATH": str(Path(__file__).parents[1]), "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1", "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MINISTACK_ACCOUNT_ID": "123456789012", "IOT_MTLS_ENABLED": "0", "SFN_WAIT_SCALE": str(given.wait_scale), "AUTH": "false" if given.no_auth else "true",
        "LOG_LEVEL": "WARNING", "CORDON_CLOUD": json.dumps(settings),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _deployed(endpoint: str, server: subprocess.Popen[bytes], ended: threading.Event) -> dict[str, Any] | None:
    """Waits for the emulator, and has the first account made. None if we are told to end meanwhile."""
    begun = time.monotonic()
    while time.monotonic() - begun < PATIENCE_SECONDS:
        if ended.is_set():
            return None
        if server.poll() is not None:
            raise RuntimeError("the emulator did not start; see above")
        try:
            urllib.request.urlopen(f"{endpoint}/_cordon/health", timeout=2).close()
        except OSError:
            time.sleep(0.05)
            continue
        request = urllib.request.Request(f"{endpoint}/_cordon/accounts", b'{"first": true}', {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"the deployment failed: {json.load(error).get('error')}") from None
    raise RuntimeError(f"the emulator did not answer within {PATIENCE_SECONDS} s")


def _write(path: Path, about: dict[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(about, indent=2) + "\n")
    os.replace(draft, path)


def _explanation(about: dict[str, Any], description: Path) -> str:
    return f"""
Cordon is deployed in account {about['accountId']}, Region {about['region']}. In another terminal:

  export AWS_ENDPOINT_URL={about['endpoint']} AWS_REGION={about['region']} AWS_ACCESS_KEY_ID={about['accessKeyId']} AWS_SECRET_ACCESS_KEY={about['secretAccessKey']}
  target/debug/cordon respond {about['instances']['web']} --reason 'a drill' --wait

{description} has the rest. Ctrl-C ends it."""


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ends the emulator with all its workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main())
