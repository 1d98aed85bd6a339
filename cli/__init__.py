"""The `soloist` command."""
