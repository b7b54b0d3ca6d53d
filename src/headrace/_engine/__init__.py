"""What happens to a run. Private as a whole; ARCHITECTURE.md is the guide."""
