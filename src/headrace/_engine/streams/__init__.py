"""Streams: items that go from stage to stage as they are asked for."""
