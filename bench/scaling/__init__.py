"""What KEDA, the HPA, the ReplicaSet and the keeper do to a load together, simulated in seconds instead of days."""
