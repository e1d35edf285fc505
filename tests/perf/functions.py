"""What each function's binary takes: to start, to refuse its first payload, and to refuse more of them.

    python -m perf.functions [--profile debug|release] [--starts N] [--invocations N]

The payload is `{}`, which every step refuses as Invalid before it calls AWS. So this is what a function takes by itself:
process, runtime, clients, JSON. `perf.cost` shows what they take at work.
"""

from __future__ import annotations

import argparse
import io
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cloud import deploy

from . import process, template
from .local import Broken
from .paths import ROOT
from .runtime_api import PATIENCE_SECONDS, RuntimeApi
from .template import Function

# Isolate's budget, cold, in a release build (docs/performance.md).
BUDGET_CPU_MS, BUDGET_MIB, BUDGET_ZIP_MB = 10, 16, 3


@dataclass(frozen=True)
class Start:
    """One process, from its start to its end. Times are in milliseconds."""

    wall: float
    """From its start to its first request for an invocation."""
    cpu: float
    """User and system time until then."""
    first: float
    """CPU time of the first invocation."""
    warm: float
    """CPU time of one further invocation, on average."""
    peak_mib: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="perf.functions", description=__doc__)
    parser.add_argument("--profile", choices=["debug", "release"], default="debug", help="which build")
    parser.add_argument("--starts", type=int, default=7, help="how often each is started; the median counts")
    parser.add_argument("--invocations", type=int, default=200, help="how many further invocations each gets")
    given = parser.parse_args()
    folder = ROOT / "target" / given.profile
    functions = template.functions()
    missing = sorted({function.binary for function in functions if not (folder / function.binary).exists()})
    if len(missing) == len({function.binary for function in functions}):
        print(f"there are no functions in {folder.relative_to(ROOT)}: build them first", file=sys.stderr)
        return 1
    print(f"{given.profile} build, stripped; {os.cpu_count()} cores; median of {given.starts} starts, then {given.invocations} invocations that are refused; no call to AWS, no TLS")
    print(f"{'':<18} {'cold: start':>20} {'first':>8} {'cold':>8} {'warm':>8} {'peak':>7} {'binary':>8} {'zipped':>8}")
    print(f"{'function':<18} {'wall ms':>11} {'CPU ms':>8} {'CPU ms':>8} {'CPU ms':>8} {'CPU ms':>8} {'MiB':>7} {'MB':>8} {'MB':>8}", flush=True)
    broken = []
    for function in functions:
        if function.binary in missing:
            print(f"{short(function):<18} {'not built':>11}", flush=True)
            continue
        try:
            row(function, folder / function.binary, given.starts, given.invocations)
        except Broken as reason:
            broken.append(str(reason))
            print(f"{short(function):<18} {'broken':>11}", flush=True)
    print(f"budget of isolate, cold, release build, with its calls: {BUDGET_CPU_MS} ms CPU, {BUDGET_MIB} MiB, {BUDGET_ZIP_MB} MB zipped")
    for reason in broken:
        print(reason, file=sys.stderr)
    return 1 if missing or broken else 0


def row(function: Function, built: Path, starts: int, invocations: int) -> None:
    content = deploy.stripped(built)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "bootstrap"
        binary.write_bytes(content)
        binary.chmod(0o755)
        start(function, binary, 0)  # brings the file into the cache
        seen = [start(function, binary, invocations if number == 0 else 0) for number in range(starts)]

    def median(name: str) -> float:
        return statistics.median(getattr(one, name) for one in seen)

    cold, first, peak = median("cpu"), median("first"), max(one.peak_mib for one in seen)
    print(f"{short(function):<18} {median('wall'):>11.1f} {cold:>8.1f} {first:>8.2f} {cold + first:>8.1f} {seen[0].warm:>8.3f} {peak:>7.1f} {len(content) / 1e6:>8.1f} {zipped(content) / 1e6:>8.1f}", flush=True)


def start(function: Function, binary: Path, invocations: int) -> Start:
    api = RuntimeApi(function.name)
    try:
        with tempfile.TemporaryFile() as log:
            began = time.perf_counter()
            running = subprocess.Popen([str(binary)], env=environment(function, api), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                return measured(api, running, began, invocations)
            except Exception as error:
                log.seek(0)
                said = log.read().decode(errors="replace")[-2000:]
                raise Broken(f"{function.name}: {error or type(error).__name__}{f'; it said: {said}' if said else ''}") from error
            finally:
                running.kill()
                running.wait()
    finally:
        api.close()


def measured(api: RuntimeApi, running: subprocess.Popen[bytes], began: float, invocations: int) -> Start:
    pid = running.pid
    wall = asked(api, running) - began
    cold = process.cpu_seconds(pid)
    refused(api, running)
    first = process.cpu_seconds(pid)
    for _ in range(invocations):
        refused(api, running)
    last = process.cpu_seconds(pid)
    warm = (last - first) / invocations if invocations else 0.0
    return Start(1000 * wall, 1000 * cold, 1000 * (first - cold), 1000 * warm, process.peak_mib(pid))


def asked(api: RuntimeApi, running: subprocess.Popen[bytes]) -> float:
    """When the function asked for an invocation, as soon as it has."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE_SECONDS:
        try:
            return api.asked.get(timeout=1)
        except queue.Empty:
            if running.poll() is not None:
                raise Broken(f"the process has ended with {running.returncode}") from None
    raise Broken(f"no invocation was asked for within {PATIENCE_SECONDS} s")


def refused(api: RuntimeApi, running: subprocess.Popen[bytes]) -> None:
    """One invocation, up to the function's request for the next one."""
    answer = api.invoke(b"{}")
    asked(api, running)
    if not answer.failed or answer.body.get("errorType") != "Invalid":
        raise Broken(f"an empty payload was not refused as Invalid, but answered with {answer.body}")
    if api.stray:
        raise Broken(f"an empty payload was followed by {api.stray[0]}")


def environment(function: Function, api: RuntimeApi) -> dict[str, str]:
    """What Lambda and the template set."""
    return {
        "AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": function.name, "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mib),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}", "AWS_LAMBDA_LOG_STREAM_NAME": "perf", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "none", "AWS_SESSION_TOKEN": "none",
        "AWS_ENDPOINT_URL": f"http://{api.address}", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC", "_HANDLER": "bootstrap", **function.variables,
    }


def zipped(content: bytes) -> int:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bootstrap", content)
    return len(archive.getvalue())


def short(function: Function) -> str:
    return function.name.removeprefix("cordon-")


if __name__ == "__main__":
    sys.exit(main())
