"""The gateway's routes: one file per noun of the API."""
