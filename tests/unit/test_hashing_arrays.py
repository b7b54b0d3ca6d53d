"""Hashes of numpy and pandas values, where these are installed."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.hashing import hash_objects

np: Any = pytest.importorskip("numpy")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(np.arange(10)[::2], np.array([0, 2, 4, 6, 8]), id="view"),
        pytest.param(np.ones((2, 3), order="F"), np.ones((2, 3)), id="order"),
        pytest.param(np.float64(1), np.float64(1), id="scalar"),
        pytest.param(np.array([{"a": {1, 2}}]), np.array([{"a": {2, 1}}]), id="objects"),
        pytest.param(np.array(["2020"], "M8[D]"), np.array(["2020"], "M8[D]"), id="dates"),
        pytest.param(np.zeros(0), np.zeros(0), id="empty"),
        pytest.param(np.dtype("f8"), np.dtype("float64"), id="dtype"),
    ],
)  # fmt: skip
def test_arrays_of_equal_content_have_one_key(one: Any, other: Any) -> None:
    assert hash_objects(one) == hash_objects(other) is not None


def test_arrays_that_differ_have_different_keys() -> None:
    values = [
        np.zeros(4), np.zeros((2, 2)), np.zeros((4, 1)), np.zeros(4, "f4"), np.zeros(4, ">f8"),
        np.zeros(4, int), np.zeros(8, "f4"), np.zeros(0), np.zeros((0, 1)), np.array(0.0),
        np.array([0.0] * 4, object), np.array([0, 0.0, 0, 0], object), [0.0] * 4, 0.0,
        np.float64(0), np.float32(0), np.int64(0), np.bool_(False), np.str_("a"), np.bytes_(b"a"),
        np.array(["a"]), np.array([b"a"]), np.array(["2020"], "M8[D]"), np.array(["2020"], "M8[Y]"),
        np.datetime64("2020"), np.zeros(1, [("a", "f8")]), np.zeros(1, [("b", "f8")]),
        np.dtype("f8"), np.dtype("f4"), np.float64, np.float32, np.add, np.ma.array([1, 2]),
        np.ma.array([1, 2], mask=[True, False]), np.array([-0.0] * 4), np.array([np.nan]),
    ]  # fmt: skip

    keys = [hash_objects(value) for value in values]

    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_frames_go_by_content() -> None:
    pd: Any = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})
    moments = pd.date_range("2020", periods=2, tz="UTC")
    values = [
        frame, frame["a"], frame["b"], frame.index, frame.iloc[1:], frame.rename(columns={"a": "c"}),
        frame.astype({"a": "f8"}), frame.set_index("a"), frame[["b", "a"]], frame.columns,
        pd.Series([1, 2, 3]), pd.Series([1, 2, 3], name="b"), pd.Series(["x", "y"], dtype="category"),
        pd.Series(["x", "y"], dtype=pd.CategoricalDtype(["y", "x"])), pd.Series(["x", "y"]),
        pd.Series([1, None], dtype="Int64"), pd.Series(moments), moments, pd.Timestamp("2020"),
        pd.Timestamp("2020", tz="UTC"), pd.NaT, pd.NA, pd.Timedelta(1), pd.Interval(1, 2),
        pd.MultiIndex.from_product([[1], [2]]), pd.MultiIndex.from_product([[1], [2]], names=["a", "b"]),
        pd.DataFrame(), pd.DataFrame, pd.Series,
    ]  # fmt: skip

    keys = [hash_objects(value) for value in values]

    assert None not in keys
    assert len(set(keys)) == len(keys)
    fresh = pd.DataFrame({"a": [2, 3], "b": [None, "z"]}, index=[1, 2])
    assert hash_objects(frame.iloc[1:]) == hash_objects(fresh)
    assert hash_objects(frame.copy()) == hash_objects(frame)
