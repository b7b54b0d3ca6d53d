"""What a run costs, beside the bare primitives it rests on."""
