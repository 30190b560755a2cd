"""What several APIs share, so that a provider is one file."""
