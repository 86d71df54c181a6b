"""The daemon that holds all ports of the port range, so that no other program can bind one.

It also refuses connections to unmapped ports at once, so that no client waits. The daemon binds sockets, and answers
which ports it holds. It decides nothing. It stays small on purpose: it imports only the model and the standard
library's sockets, reads one short request per connection, and does not look into other processes. The client finds out
which process has a taken port (`nplconf.node.owners`): this needs rights that the daemon should not have, and a scan of
/proc would delay all clients.
"""
