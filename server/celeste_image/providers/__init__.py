"""What makes images: one file or folder per API or runtime."""
