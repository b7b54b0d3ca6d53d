"""Results that are stored and cached: found, kept, waited for."""
