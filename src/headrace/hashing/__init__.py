"""Cache keys of values, tasks and code, equal in every process.

`task_input_hash` and the policies, such as ``INPUTS - "session"``, are for
``cache_key_fn``. A class of yours says what tells its objects apart by a method
``__task_hash__``; for classes of others there is `register_hasher`.
"""

from __future__ import annotations

from headrace.hashing.explaining import (
    KeyChange,
    KeyPart,
    compare_parts,
    explain,
    parts_from_text,
    parts_to_text,
)
from headrace.hashing.keys import hash_objects, stable_hash, task_input_hash
from headrace.hashing.kinds import register_hasher
from headrace.hashing.policies import (
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    KeyPolicy,
)

__all__ = (
    "INPUTS",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "KeyChange",
    "KeyPart",
    "KeyPolicy",
    "compare_parts",
    "explain",
    "hash_objects",
    "parts_from_text",
    "parts_to_text",
    "register_hasher",
    "stable_hash",
    "task_input_hash",
)
