"""Pure: the iptables grammar, our chains as values, and the text that turns one set of them into another."""
