"""The installation on a node: systemd units and the reserved ports."""
