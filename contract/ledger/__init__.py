"""The ledger: what it records, and every step that changes it."""
