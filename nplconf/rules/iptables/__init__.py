"""The iptables backend's values and text: rules, chains, the dispatch tree, transactions. Pure."""
