"""The gateway and the keeper: HTTP in, prediction out."""
