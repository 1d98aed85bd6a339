"""Predictions on their way from a request to the ledger, and their outcomes on the way back."""
