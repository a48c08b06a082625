"""What this process may use of the machine it runs on, and how it keeps out of the way of others."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hare_lab.errors import InputError

LOCK = ".lock"  # the file by which a folder is held
GROUP = Path("/sys/fs/cgroup")  # the group that this process is confined to, as a container sees it


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that may still be taken: of the machine, and of the group that this process is confined to, where it is."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return None if not hasattr(os, "sysconf") else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = next(int(line.split()[1]) * 1024 for line in info.read_text().splitlines() if line.startswith("MemAvailable"))
    limit = GROUP / "memory.max"
    if limit.exists() and (most := limit.read_text().strip()) != "max":
        told = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        used = int((GROUP / "memory.current").read_text()) - int(told["inactive_file"])  # files kept at hand give way when asked
        free = min(free, int(most) - used)
    return free


@contextmanager
def drawn_by(seed: int) -> Iterator[None]:
    """Inside, torch draws as `seed` says, on the CPU and on a GPU; afterwards its random state is what it was."""
    import torch

    own = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=own):
        torch.manual_seed(seed)
        yield


def alive(pid: int) -> bool:
    """Whether the process still runs; a child of ours that has ended is taken note of on the way, another's counts as ended."""
    if pid <= 0:
        return False
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
        return ended == 0
    except ChildProcessError:  # not ours: another session's
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # no Linux
        return True


def held(folder: Path) -> bool:
    """Whether a process holds the folder as `alone` does."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def alone(folder: Path, told: str = "another training runs in {folder}; wait for it or stop it, or give another folder") -> Iterator[None]:
    """Hold a folder for this process (of several, `accelerate launch`, for the first); the system lets go however the process ends.

    Raises
    ------
    InputError
        If another process holds it, as `told`, or it can't be written.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}); choose another folder") from error
    try:
        for attempt in range(5):  # who only looks whether it is held holds it for a moment
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if attempt == 4:
                    raise InputError(told.format(folder=folder)) from error
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)
