"""Files as the cluster: dumps as kubectl prints them, and annotations written back."""
