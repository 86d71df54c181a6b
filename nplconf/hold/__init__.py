"""The daemon that holds every number of the port range, so that no program can have one and no client waits for one.

It binds, and answers what it holds; it decides nothing. It stays small on purpose: it imports the model and the
standard library's sockets alone, reads nothing but one short request a connection, and does not look into other
processes. Who has a number that could not be had is found out by the client (`nplconf.node.owners`): that needs rights
which this daemon is better without, and a scan of /proc would keep everybody waiting.
"""
