"""Rules of the kernel as values. Each backend is a package; owner tags are shared by all."""
