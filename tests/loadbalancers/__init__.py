"""What a client loses behind load balancers. A package, because a fixture of package scope ends with the last test."""
