"""Measurements of Soloist beside the raw bound and other ways to serve a model."""
