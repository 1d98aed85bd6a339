"""How the rows of a batch become forward passes: cut, padded, checked."""
