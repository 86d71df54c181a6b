"""The values and text of the nftables backend: the fixed frame of its table, its elements, transactions. Pure."""
