"""The programs that the stacks run, each as the documentation of its framework writes it."""
