"""Pure: what Pods are told."""
