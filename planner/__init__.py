"""A simulated cluster and the search over it: what `soloist plan` proposes."""
