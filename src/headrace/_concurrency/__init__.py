"""Loops and threads: the primitives under the engine. Private as a whole."""
