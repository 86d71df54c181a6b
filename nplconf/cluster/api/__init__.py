"""The API server as the cluster: credentials, transport, lists, patches and Events."""
