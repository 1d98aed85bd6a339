"""Vectors of texts, by the recipe that their makers left."""
