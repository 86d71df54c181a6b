"""Results as text: for a terminal, for programs, for a review."""
