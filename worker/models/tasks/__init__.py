"""The tasks: one file a family, with the classes that the rows of contract/tasks name."""
