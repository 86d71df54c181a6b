"""What nplconf publishes: Pod annotations, Pod conditions and Events. Pure."""
