"""Tests on a real node. A package, because a fixture of package scope ends with the last of its tests."""
