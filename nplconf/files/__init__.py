"""Files: reading with limits, the one atomic write, strict YAML, and the published schemas."""
