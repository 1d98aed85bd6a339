"""What surrounds the chart: checks before and after an install, a smoke test, and plain manifests."""
