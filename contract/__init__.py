"""What the gateway, the keeper and the workers agree on."""

__version__ = "0.1.0"
