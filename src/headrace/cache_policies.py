"""Ready-made cache keys to combine: for ``cache_key_fn``.

``INPUTS + TASK_SOURCE - "session"`` is the arguments without one, and the code.
"""

from __future__ import annotations

from headrace.hashing import INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE, KeyPolicy

__all__ = ("INPUTS", "NO_CACHE", "RUN_ID", "TASK_SOURCE", "KeyPolicy")
