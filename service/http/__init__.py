"""HTTP as the gateway speaks it: bytes in, JSON and events out."""
