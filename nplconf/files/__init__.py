"""Files: reading with limits, the one atomic write, strict YAML, the published schemas."""
