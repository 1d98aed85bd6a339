"""What every process says of itself: logs, traces, and how predictions ended."""
