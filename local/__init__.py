"""What one machine runs: `soloist up`, benchmarks and tests start Redis, RabbitMQ and our processes with it."""
