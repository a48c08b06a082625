"""Who writes? A server by URL, a model on this machine, or a recording. All answer the same question in the same way.

A backend is given requests and gives back replies, in any order and each exactly once. What a model has written is kept in a
request cache before anything else happens to it, so that a run that was killed pays for no request a second time.
"""

import os

from hare_lab.synthesis.backends.base import Backend, Settings
from hare_lab.synthesis.backends.cache import RequestCache
from hare_lab.synthesis.backends.endpoint import Endpoint
from hare_lab.synthesis.backends.local import Local
from hare_lab.synthesis.backends.replay import Replay


def at_hand() -> Backend:
    """Who writes in a notebook: the server and model named by HARE_LAB_ENDPOINT and HARE_LAB_MODEL, else the recording."""
    url = os.environ.get("HARE_LAB_ENDPOINT")
    return Endpoint(url, os.environ.get("HARE_LAB_MODEL", "")) if url else Replay()


__all__ = ["Backend", "Endpoint", "Local", "Replay", "RequestCache", "Settings", "at_hand"]
