"""What is installed on a node: systemd units and the reserved ports."""
