"""A model's files: fetched, checked, loaded, or refused with the way out."""
