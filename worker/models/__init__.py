"""Models: the only code that imports torch and transformers."""
