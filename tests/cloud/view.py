"""What a collector finds on a guest: a memory with things planted in it, and the small part of `/proc`, `/sys` and `/etc`
that it reads besides. All of it lies in one folder, which is the root of the collector's world."""

from __future__ import annotations

import os
import random
from pathlib import Path

BLOCK = 1 << 20
POOL = "stratum+tcp://pool.miner.example:3333"
ARGUMENTS = ["/tmp/.x/xmrig", "-o", POOL, "--donate-level=0"]
KERNEL = "Linux version 6.1.0-local-cloud (builder@local) (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC"
# One process for each kind that an analyst looks for: init, a daemon, the agent, and what should not be there.
_PROCESSES = {1: ("systemd", 1, ["/sbin/init"]), 412: ("nginx", 1, ["nginx: master process"]), 700: ("amazon-ssm-agent", 1, ["/usr/bin/amazon-ssm-agent"]), 1337: ("xmrig", 412, ARGUMENTS)}


def canary(instance: str) -> bytes:
    """A string that is in the memory of this instance, and nowhere else."""
    return f"CORDON-CANARY-{instance}".encode()


def planted(instance: str, mebibytes: int) -> dict[int, bytes]:
    """What is in the memory, by offset. Something near its start, its middle and its end."""
    size, arguments = mebibytes * BLOCK, "\0".join(ARGUMENTS).encode() + b"\0"
    return {0x1040: canary(instance), size // 2 + 0x20: arguments, size - 0x2000: canary(instance), size - 0x1000: arguments}


def make(folder: Path, instance: str, mebibytes: int, locked_down: bool) -> None:
    """Makes the folder anew."""
    for name, content in _files(instance, mebibytes, locked_down).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for pid, (name, _, arguments) in _PROCESSES.items():
        process = folder / "proc" / str(pid)
        _link(process / "exe", f"{arguments[0]} (deleted)" if name == "xmrig" else arguments[0])
        _link(process / "cwd", "/")
        _link(process / "root", "/")
        _link(process / "ns" / "net", "net:[4026531840]")
        _link(process / "fd" / "3", f"socket:[{pid * 10}]")
    if not locked_down:
        _memory(folder / "memory", instance, mebibytes)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, path)


def _memory(path: Path, instance: str, mebibytes: int) -> None:
    """Blocks of noise and of zeros in turn: an image leaves long runs of zeros out."""
    noise = random.Random(instance)  # the same memory for the same instance
    with path.open("wb") as file:
        for block in range(mebibytes):
            if block % 64 < 40 or block == mebibytes - 1:
                file.write(noise.randbytes(BLOCK))
            else:
                file.seek(BLOCK, os.SEEK_CUR)
        for offset, content in planted(instance, mebibytes).items():
            file.seek(offset)
            file.write(content)


def _files(instance: str, mebibytes: int, locked_down: bool) -> dict[str, bytes]:
    kib = mebibytes * 1024
    chosen = "none integrity [confidentiality]" if locked_down else "[none] integrity confidentiality"
    sockets = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0A00460A:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4120 1 0000000000000000 100 0 0 10 0\n"
        "   1: 0A00460A:C350 CB007107:0D05 01 00000000:00000000 00:00000000 00000000     0        0 13370 1 0000000000000000 20 4 30 10 -1\n"
    )
    text = {
        # Plenty is available: how much the collector takes depends on it, and the small memory is only what is captured.
        "proc/meminfo": f"MemTotal:       {max(kib, 4 << 20)} kB\nMemFree:        {2 << 20} kB\nMemAvailable:   {3 << 20} kB\n",
        "proc/version": f"{KERNEL}\n", "proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz root=/dev/xvda1 ro\n", "proc/uptime": "86400.00 86000.00\n",
        "proc/kallsyms": "".join(f"ffffffff81{index:06x} T symbol_{index}\n" for index in range(0, 0x8000, 16)),
        "proc/modules": "nf_tables 311296 0 - Live 0xffffffffc0a00000\nena 163840 0 - Live 0xffffffffc0900000\n",
        "proc/mounts": "/dev/xvda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n",
        "proc/self/mountinfo": "22 1 202:1 / / rw,relatime shared:1 - ext4 /dev/xvda1 rw\n23 22 0:21 / /proc rw shared:12 - proc proc rw\n",
        "proc/sys/kernel/hostname": f"{instance}\n", "proc/sys/kernel/tainted": "0\n", "proc/sys/kernel/kptr_restrict": "0\n",
        "proc/sys/kernel/random/boot_id": "11111111-2222-4333-8444-555555555555\n",
        "sys/kernel/security/lockdown": f"{chosen}\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnginx:x:998:998::/var/lib/nginx:/sbin/nologin\ntoor:x:0:0::/tmp:/bin/sh\n",
        "proc/net/tcp": sockets,
    }
    files = {name: content.encode() for name, content in text.items()}
    for pid, (name, parent, arguments) in _PROCESSES.items():
        files |= {
            f"proc/{pid}/cmdline": "\0".join(arguments).encode() + b"\0", f"proc/{pid}/net/tcp": sockets.encode(),
            f"proc/{pid}/stat": f"{pid} ({name}) S {parent} {pid} {pid} 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 {pid * 100} 1000000 100\n".encode(),
            f"proc/{pid}/status": f"Name:\t{name}\nPid:\t{pid}\nPPid:\t{parent}\nUid:\t0\t0\t0\t0\n".encode(),
        }
    # A stand-in for the kernel's type information: its magic, and then anything.
    files["sys/kernel/btf/vmlinux"] = b"\x9f\xeb\x01\x00" + bytes(range(256)) * 16
    return files
