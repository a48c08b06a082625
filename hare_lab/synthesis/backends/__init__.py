"""Who writes? A server by URL, a model on this machine, or a recording. All answer the same question in the same way.

A backend is given requests and gives back replies, in any order and each exactly once. What a model has written is kept in a
request cache before anything else happens to it, so that a run that was killed pays for no request a second time.
"""

from hare_lab.synthesis.backends.base import Backend, Settings
from hare_lab.synthesis.backends.cache import RequestCache
from hare_lab.synthesis.backends.endpoint import Endpoint
from hare_lab.synthesis.backends.local import Local
from hare_lab.synthesis.backends.replay import Replay

__all__ = ["Backend", "Endpoint", "Local", "Replay", "RequestCache", "Settings"]
