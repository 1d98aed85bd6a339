"""Texts that a model writes token by token."""
