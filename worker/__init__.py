"""The worker: one process, one device, one model."""
