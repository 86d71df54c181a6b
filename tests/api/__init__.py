"""Tests with a real API server. A package, because a fixture of package scope ends with the last of its tests."""
