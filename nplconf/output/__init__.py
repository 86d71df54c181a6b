"""Results as text: tables for a terminal, JSON and YAML for programs, Markdown and HTML for reviews, and metrics."""
