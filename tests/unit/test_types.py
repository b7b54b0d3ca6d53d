from __future__ import annotations

import copy
import pickle

from headrace._types import NOT_SET, NotSet


def test_not_set_is_one_object_that_survives_copies_and_pickling() -> None:
    assert copy.deepcopy(NOT_SET) is NOT_SET
    assert pickle.loads(pickle.dumps(NOT_SET)) is NOT_SET
    assert isinstance(NOT_SET, NotSet)


def test_not_set_reads_as_its_name_in_a_signature() -> None:
    assert repr(NOT_SET) == "NOT_SET"
