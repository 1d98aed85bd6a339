"""Texts that a model reads at once."""
