"""The ways of serving a model that are compared, each started and stopped in the same manner."""
