"""Decoders: texts that a model writes token by token."""
