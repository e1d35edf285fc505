"""A real kernel on the local cloud: boots a virtual machine with something to find in its memory, has an incident capture
it, and finds it again in the sealed and downloaded case alone.

Everything is as deployed: the document's script, the collector (linked statically), presigned URLs. Only the agent is ours: a
loop in the virtual machine that asks the local cloud for commands. Exits 0 if all was found, and where it cannot be run: then
it says why. `--lockdown` boots a kernel that gives its memory to nobody, and expects the case to say so.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import demo  # noqa: E402: it is found since the line above
import initramfs  # noqa: E402
import lime  # noqa: E402
from demo import Cloud, say  # noqa: E402
from machine import MEMORY_MIB, Machine  # noqa: E402

HERE = Path(__file__).resolve().parent
LAB = ROOT / "target" / "lab"
PACKAGES = LAB / "packages"
FOLDER = LAB / "run"
TARGET = "x86_64-unknown-linux-gnu"
STATIC = ROOT / "target" / TARGET / "release"
CLOUD_SECONDS = 120
BOOT_SECONDS = 120
INCIDENT_SECONDS = 300
ANALYSIS_SECONDS = 120
# How often the miner has its string on its heap, and how often it must be found: a copy across two pages is in two places.
PLANTED, ENOUGH = 64, 32


class Failed(Exception):
    """What was expected and not found."""


def main() -> int:
    given = _arguments()
    if reason := _unfit():
        say(f"lab: skipped, since {reason}")
        return 0
    _build()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    # What the demo has for one incident is used here for another one, in another folder and with more patience.
    demo.FOLDER, demo.PATIENCE_SECONDS = FOLDER, INCIDENT_SECONDS
    say("starting the local cloud and deploying infra/template.yaml in it, with the collector that is linked statically")
    with (FOLDER / "cloud.log").open("w") as log:
        cloud = subprocess.Popen(
            [sys.executable, "-m", "cloud", "--until-stdin-closes", "--dir", str(FOLDER), "--binaries", str(demo.BINARIES), "--wait-scale", "0.1",
             "--memory-mib", str(MEMORY_MIB), "--collector", str(STATIC / "collector"), "--collector-arguments", ""],
            cwd=ROOT, env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/bin:/bin"}, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
        )
    try:
        _until_there(cloud)
        _lab(Cloud(cloud), given.lockdown)
    except Failed as failed:
        say(f"FAILED: {failed}")
        return 1
    finally:
        cloud.terminate()
        cloud.wait(timeout=CLOUD_SECONDS)
    return 0


def _until_there(cloud: subprocess.Popen[bytes]) -> None:
    """Waits for the local cloud: longer than the demo does, since the lab asserts on what is found and never on how long it takes."""
    begun = time.monotonic()
    while not (FOLDER / "cloud.json").exists() and cloud.poll() is None and time.monotonic() - begun < CLOUD_SECONDS:
        time.sleep(0.1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lockdown", action="store_true", help="boot a kernel that gives its memory to nobody")
    return parser.parse_args()


def _unfit() -> str | None:
    """Why the lab cannot be run here, if it cannot."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "it needs Linux on x86-64"
    say("fetching a kernel, busybox and (where there is none) qemu, if they are not here yet: 45 MB")
    fetched = subprocess.run(["/bin/sh", str(HERE / "fetch.sh"), str(PACKAGES)], check=False, capture_output=True, text=True)
    if fetched.returncode == 3:
        return fetched.stdout.strip()
    if fetched.returncode != 0:
        sys.exit(f"tests/lab/fetch.sh failed: {fetched.stderr.strip()[-500:]}")
    return None


def _build() -> None:
    say("linking the collector and the guest's programs statically (the first time this takes some minutes)")
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C target-feature=+crt-static".strip()
    # The target is named, or the flags would reach what the compiler itself loads.
    command = [os.environ.get("CARGO", "cargo"), "build", "--quiet", "--release", "--target", TARGET, "-p", "collector", "-p", "lab-guest"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "RUSTFLAGS": flags}, check=True)


def _lab(cloud: Cloud, lockdown: bool) -> None:
    instance, canary = cloud.about["instances"]["web"], f"canary-{secrets.token_hex(8)}"
    archive = FOLDER / "initramfs.gz"
    initramfs.make(archive, PACKAGES / "kernel", {"xmrig": STATIC / "miner", "forward": STATIC / "forward"})
    cloud.ask("guest", {"account": cloud.about["accountId"], "instance": instance, "agent": "external"})
    words = {"lab.port": cloud.about["endpoint"].rpartition(":")[2], "lab.account": cloud.about["accountId"], "lab.instance": instance, "lab.canary": canary}
    say(f"booting {(PACKAGES / 'ready').read_text().strip()} with {MEMORY_MIB} MiB; in it `xmrig stratum+tcp://{canary}` does nothing")
    machine = Machine(PACKAGES, archive, FOLDER / "console.log", words | ({"lockdown": "confidentiality"} if lockdown else {}))
    try:
        machine.until("LAB: ready", BOOT_SECONDS)
        folder, output = _incident(cloud, instance)
    except RuntimeError as error:
        raise Failed(str(error)) from None
    finally:
        machine.stop()
    say("the virtual machine and its memory are gone; what follows uses the downloaded case alone")
    _verified(cloud, folder)
    if lockdown:
        _said_so(folder, output)
        return
    if output.get("asPlanned") is not True:
        raise Failed(f"the incident did not go as planned: {output.get('reasons')}; see {FOLDER.relative_to(ROOT)}")
    _found(folder, f"stratum+tcp://{canary}")
    _analysed(folder, f"stratum+tcp://{canary}")
    _same_from_the_bucket(cloud, output["caseId"])
    say("all was found")


def _incident(cloud: Cloud, instance: str) -> tuple[Path, dict]:
    say(f"GuardDuty finds: UnauthorizedAccess:EC2/TorClient, severity 8, at {instance}")
    sent = time.time()
    cloud.ask("event", {"account": cloud.about["accountId"], "source": "aws.guardduty", "detailType": "GuardDuty Finding", "detail": demo.finding(cloud.about, instance), "resources": []})
    ended = demo.follow(cloud, sent)
    say(f"the execution ended {ended['status']}: {ended.get('output') or ended.get('cause')}")
    output = json.loads(ended.get("output") or "{}")
    if "caseId" not in output:
        raise Failed(f"the execution gave no case; see {FOLDER.relative_to(ROOT)}")
    folder = demo.download(cloud, output["caseId"])
    say(f"downloaded to {folder.relative_to(ROOT)}")
    return folder, output


def _found(folder: Path, pool: str) -> None:
    """The image is LiME throughout, and has what was on the miner's heap and nowhere else."""
    image = folder / "memory" / "image.lime"
    if not image.exists():
        raise Failed(f"there is no image of the memory in {folder}; see {FOLDER.relative_to(ROOT)}/console.log")
    planted = b"HEAP!" + pool.encode()[::-1]
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        records = lime.records(content)
        say(f"the image: {len(content) / 2**20:.0f} MiB in {len(records)} LiME records, {records[0].first:#x} to {records[-1].last:#x}, without a gap in the file")
        offsets = []
        at = content.find(planted)
        while at >= 0:
            offsets.append(at)
            at = content.find(planted, at + 1)
        if len(offsets) < ENOUGH:
            raise Failed(f"the string that the miner had on its heap {PLANTED} times is in the image {len(offsets)} times")
        say(f"the string that was on the miner's heap only is there {len(offsets)} times, first at offset {offsets[0]:#x} (physical address {lime.address(records, offsets[0]):#x})")
    volatile = json.loads((folder / "memory" / "volatile.json").read_text())
    if pool not in json.dumps(volatile):
        raise Failed("the miner is not among the processes of memory/volatile.json")
    say("the miner is among the processes of memory/volatile.json")


def _verified(cloud: Cloud, folder: Path) -> None:
    print(f"$ cordon verify {folder.relative_to(ROOT)} --public-key {Path(cloud.about['publicKeyPath']).name}", flush=True)
    if subprocess.run([str(demo.BINARIES / "cordon"), "verify", str(folder), "--public-key", cloud.about["publicKeyPath"]], check=False).returncode != 0:
        raise Failed("the case does not verify")


def _analysed(folder: Path, pool: str) -> None:
    """The kernel's own list of processes, read from the image by volatility3 with the symbols that the case has."""
    symbols = FOLDER / "symbols"
    symbols.mkdir()
    print(f"$ cordon symbols {folder.relative_to(ROOT)}", flush=True)
    if subprocess.run([str(demo.BINARIES / "cordon"), "symbols", str(folder)], cwd=symbols, check=False).returncode != 0:
        raise Failed("no symbol file can be made from the case")
    volatility = _volatility()
    if volatility is None:
        say("volatility3 is not to be had (it is a Python package): the list of processes is not read from the image")
        return
    tasks = _asked(volatility, folder, "linux.pslist.PsList")
    miners = [task for task in tasks if task["COMM"] == "xmrig"]
    if len(miners) != 1:
        raise Failed(f"volatility3 lists {len(tasks)} processes, of which {len(miners)} are named xmrig: {[task['COMM'] for task in tasks]}")
    process = miners[0]["PID"]
    say(f"volatility3 linux.pslist: {len(tasks)} processes, among them {process} xmrig, started {miners[0]['CREATION TIME']}")
    arguments = [row["ARGS"] for row in _asked(volatility, folder, "linux.psaux.PsAux") if row["PID"] == process]
    if arguments != [f"xmrig {pool}"]:
        raise Failed(f"volatility3 gives other arguments of the miner: {arguments}")
    say(f"volatility3 linux.psaux: {arguments[0]}")


def _same_from_the_bucket(cloud: Cloud, case: str) -> None:
    """The symbol file is the same whether it is made from the downloaded case or from the bucket."""
    about, made = cloud.about, FOLDER / "from-the-bucket.json"
    account = {"AWS_ENDPOINT_URL": about["endpoint"], "AWS_REGION": about["region"], "AWS_ACCESS_KEY_ID": about["accessKeyId"], "AWS_SECRET_ACCESS_KEY": about["secretAccessKey"]}
    print(f"$ cordon symbols {case} --output {made.name}", flush=True)
    if subprocess.run([str(demo.BINARIES / "cordon"), "symbols", case, "--output", str(made)], env=account, check=False).returncode != 0:
        raise Failed("no symbol file can be made from the bucket")
    if [file.read_bytes() for file in (FOLDER / "symbols").glob("*.json")] != [made.read_bytes()]:
        raise Failed("the symbol file from the bucket differs from the one from the downloaded case")


def _asked(volatility: Path, folder: Path, plugin: str) -> list[dict]:
    command = [str(volatility), "-q", "--offline", "-r", "json", "--cache-path", str(LAB / "cache"), "-s", str(FOLDER / "symbols"), "-f", str(folder / "memory" / "image.lime"), plugin]
    (LAB / "cache").mkdir(exist_ok=True)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=ANALYSIS_SECONDS)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Failed(f"volatility3 gave no list ({plugin}): {(done.stdout + done.stderr)[-1500:]}") from None


def _volatility() -> Path | None:
    """volatility3 in an environment of its own, pinned; nothing where it cannot be had."""
    environment, wanted = LAB / "venv", (HERE / "requirements.txt").read_text()
    ready = environment / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        command = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(HERE / "requirements.txt")]
        try:
            venv.create(environment, clear=True, with_pip=True)
            subprocess.run(command, check=True, capture_output=True)
        except subprocess.CalledProcessError:
            return None
        ready.write_text(wanted)
    return environment / "bin/vol"


def _said_so(folder: Path, output: dict) -> None:
    """No image, and a case that does not claim one and says why."""
    if (folder / "memory" / "image.lime").exists():
        raise Failed("there is an image of the memory of a kernel that was to give none")
    statement = json.loads((folder / "memory" / "capture.json").read_text())
    collected, kernel = statement["collected"], json.loads((folder / "memory" / "volatile.json").read_text())["kernel"]
    told = {"asPlanned": output.get("asPlanned"), "memory": output.get("memory"), "ok": collected["ok"], "bytes": collected["bytes"], "lockedDown": "[confidentiality]" in (kernel["lockdown"] or "")}
    if told != {"asPlanned": False, "memory": "notCaptured", "ok": False, "bytes": 0, "lockedDown": True}:
        raise Failed(f"the case must say that no memory was had, and why, and says {told}")
    say(f"the kernel gave its memory to nobody (lockdown: {kernel['lockdown']}), and the case says so: {collected['errors']}")


if __name__ == "__main__":
    sys.exit(main())
