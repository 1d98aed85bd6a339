"""Images: files decoded within limits, and the models that read them."""
