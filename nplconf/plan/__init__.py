"""Plans and policies as files: written, read, compared, limited. Pure."""
