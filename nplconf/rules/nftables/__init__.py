"""The pure half of the nftables backend: the fixed frame of its table, its elements, and its transactions."""
